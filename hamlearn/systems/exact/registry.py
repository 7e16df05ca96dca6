"""The oracles, in order, and which of them answers for a system."""

from __future__ import annotations

from hamlearn.errors import HamlearnError
from hamlearn.systems.base import System
from hamlearn.systems.exact.cuts import too_large
from hamlearn.systems.exact.discrete import Enumeration, Kaufman, Transfer
from hamlearn.systems.exact.free import Gaussian
from hamlearn.systems.exact.hidden import HiddenUnits
from hamlearn.systems.exact.oracle import HOPELESS, Oracle
from hamlearn.systems.exact.paths import Operator
from hamlearn.systems.exact.vectors import Tree
from hamlearn.systems.exact.xy import Characters
from hamlearn.systems.pairs import pairs_of

ORACLES: list[Oracle] = [Enumeration(), Transfer(), Kaufman(), Operator(), Tree(), Characters(), Gaussian(), HiddenUnits()]
"""In the order in which they are asked."""


def register(oracle: Oracle) -> Oracle:
    """Ask `oracle` before all others, from now on and everywhere: predictions, reports and samplers too.

    Parameters
    ----------
    oracle : Oracle
        Its name must be its own.

    Returns
    -------
    Oracle
        The same; :func:`unregister` takes it out again.

    Raises
    ------
    HamlearnError
        If it is no oracle, or its name is taken.
    """
    if not isinstance(oracle, Oracle) or not oracle.name:
        raise HamlearnError(f"an oracle derives from hamlearn.systems.exact.Oracle and has a name; got {oracle!r}.")
    if any(one.name == oracle.name for one in ORACLES):
        raise HamlearnError(f"there is an oracle called {oracle.name!r} already; give it another name, or unregister that one.")
    ORACLES.insert(0, oracle)
    return oracle


def unregister(oracle: Oracle) -> None:
    """Take a registered oracle out.

    Raises
    ------
    HamlearnError
        If it is not registered.

    Examples
    --------
    >>> from hamlearn.systems import exact
    >>> exact.unregister("free spins")
    Traceback (most recent call last):
        ...
    hamlearn.errors.HamlearnError: 'free spins' is no registered oracle: give the object that exact.register returned. Registered: ...
    """
    if not any(one is oracle for one in ORACLES):
        names = ", ".join(one.name for one in ORACLES)
        raise HamlearnError(f"{oracle!r} is no registered oracle: give the object that exact.register returned. Registered: {names}.")
    ORACLES[:] = [one for one in ORACLES if one is not oracle]


def oracle(system: System, gives: str = "log_z") -> Oracle | None:
    """The oracle that answers for a system, or None.

    Parameters
    ----------
    system : System
        Anything; what shows no structure that an oracle knows has none.
    gives : {"log_z", "thermodynamics", "expectations", "sample", "states", "normaliser"}
        What is asked of it; "normaliser" is log Z at the one temperature that a learned system has for its own.

    Examples
    --------
    >>> from hamlearn.systems import Ising, exact
    >>> exact.oracle(Ising((64, 64))), exact.oracle(Ising((64, 64)), "sample")
    (<oracle kaufman>, None)
    """
    if not isinstance(system, System):
        raise HamlearnError(
            "exact answers need a system: one of hl.systems, or a class of your own that derives from hl.systems.System and has lattice, "
            f"space and energy(states); got {type(system).__name__}."
        )
    able = [(one.preference(system), place) for place, one in enumerate(ORACLES) if gives in one.gives and one.applies(system)]
    return ORACLES[min(able)[1]] if able else None


def method(system: System) -> str | None:
    """Name of the oracle that answers for a system; the cheapest one, None where there is none.

    Enumeration of up to 2^20 states on any graph (2^16 of a system that shows nothing but its energy); the transfer matrix where the
    lattice can be cut into layers of at most 512 states (9 spins; 16 spins where the layers form an open strip of a square lattice);
    Kaufman's solution for the uniform nearest-neighbour Ising model without field on a periodic square lattice of any size (an
    antiferromagnet on even extents); the transfer operator of paths; the character expansion of narrow XY lattices; the Gaussian
    integral of free fields.

    Examples
    --------
    >>> from hamlearn.systems import EdwardsAnderson, Ising, exact
    >>> [exact.method(s) for s in (Ising((3, 3)), EdwardsAnderson((8, 8)), Ising((64, 64)), Ising((4, 4, 4)))]
    ['enumeration', 'transfer', 'kaufman', None]
    """
    found = oracle(system)
    return None if found is None else found.name


def require(system: System) -> str:
    """The exact method of `system` (see :func:`method`), or an error that says what is too large.

    Raises
    ------
    HamlearnError
        If no method can treat it.

    Examples
    --------
    >>> from hamlearn.systems import EdwardsAnderson, exact
    >>> exact.require(EdwardsAnderson((4, 5)))
    'transfer'
    """
    return require_oracle(system).name


def require_oracle(system: System, gives: str = "log_z", what: str = "exact answers", given: Oracle | None = None) -> Oracle:
    """The oracle that answers (see :func:`oracle`) or the one that was `given`, or an error that says why none does."""
    if given is not None:
        refusal = f"it gives {', '.join(given.gives)}" if gives not in given.gives else given.refusal(system)
        if refusal is not None:
            raise HamlearnError(f"{what}: the oracle {given.name!r} does not treat {system!r}: {refusal}.")
        return given
    found = oracle(system, gives)
    if found is not None:
        return found
    other, space = oracle(system), system.space
    only = f"{other.name.capitalize()}'s solution gives {' and '.join(other.gives)} only, and " if other else ""
    if not space.continuous and pairs_of(system) is not None:
        raise HamlearnError(f"{what}: {only}" + too_large(system.lattice, space.extent, repr(system)))
    reasons = "; ".join(f"{one.name} ({one.refusal(system) or 'does not give this'})" for one in ORACLES)
    raise HamlearnError(f"{what}: {only}no oracle knows this; got {type(system).__name__}: {reasons}. Sample it with hl.simulate.")


def require_normaliser(system: System, what: str, given: Oracle | None = None) -> Oracle:
    """The oracle of log Z at all temperatures, or else of that at the system's own; an error where there is neither."""
    if given is not None:
        return require_oracle(system, "normaliser" if "normaliser" in given.gives else "log_z", what, given)
    own = None if oracle(system) is not None else oracle(system, "normaliser")
    return require_oracle(system, "log_z", what) if own is None else own


__all__ = ["HOPELESS", "ORACLES", "method", "oracle", "register", "require", "require_normaliser", "require_oracle", "unregister"]
