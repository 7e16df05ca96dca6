"""What an exact answer costs, in operations: decisions about cost are made by counting, never by the clock."""

from __future__ import annotations

from hamlearn.systems.base import System
from hamlearn.systems.exact.registry import require_oracle

OPERATIONS_PER_SECOND = 1e10
"""Of one core on dense linear algebra, about: only for sentences that turn counts into seconds."""


def operations(system: System, beta: float) -> float:
    """Operations of :func:`~hamlearn.systems.exact.thermodynamics` of a system at one temperature, about.

    The same number on every machine and under any load, so that what is decided by it is too.

    Parameters
    ----------
    system : System
        One that :func:`~hamlearn.systems.exact.method` can treat.
    beta : float
        Inverse temperature, > 0.

    Raises
    ------
    HamlearnError
        If there is no exact method.

    Examples
    --------
    >>> from hamlearn.systems import Ising, XY
    >>> from hamlearn.systems.exact.work import operations
    >>> operations(XY((4, 4)), 1.0) > 10 * operations(XY((16,)), 1.0)
    True
    >>> round(operations(Ising((3, 3)), 1.0))
    15360
    """
    return require_oracle(system).cost(system, beta)
