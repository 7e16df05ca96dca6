"""The report: one self-contained page about a posterior."""

from __future__ import annotations

from hamlearn.page.document import report

__all__ = ["report"]
