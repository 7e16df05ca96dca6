"""May this model be trusted? Its microstates beside those of the reference, whatever kind of model it is."""

from hamlearn.diagnostics.audits.result import Audit, AuditFinding
from hamlearn.diagnostics.audits.verb import audit

__all__ = ["Audit", "AuditFinding", "audit"]
