"""An energy written for JAX as the sum that it is: its terms, and which sites each of them sees.

Who sees what is read from the program that JAX makes of the formula, not from values, so that it holds for every microstate: an
operation on elements passes on what they saw, a sum what its summands saw, and moving elements about moves it. Of a program with an
operation of which less is known (a loop, a product with a matrix) nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from scipy import sparse

ELEMENTWISE = frozenset(
    "abs add add_any and atan2 cbrt ceil clamp convert_element_type copy cos cosh div eq erf erfc exp exp2 expm1 floor ge gt integer_pow "
    "is_finite le log log1p logistic lt max min mul ne neg not or pow rem round rsqrt select_n sign sin sinh sqrt square stop_gradient sub "
    "tan tanh xor".split()
)
MOVING = frozenset("broadcast_in_dim concatenate dynamic_slice gather pad reshape rev slice squeeze transpose".split())
REDUCING = frozenset("reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or argmax argmin".split())


_WIDE = {"i": 4, "f": 2}  # bytes of the whole numbers and floats whose sums are left undone


# ---------------------------------------------------------------------- the sum
class _Sum(NamedTuple):
    """An array as what is summed over the last axis of `parts`."""

    parts: Any


def terms(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the number that `function` returns is a sum of, a vector: sums are left undone as far back as nothing but sums follows.

    Examples
    --------
    >>> terms(lambda x: 2.0 * jnp.sum(x * x) - x[0], jnp.arange(3.0)).tolist()
    [0.0, 2.0, 8.0, -0.0]
    """
    program = jax.make_jaxpr(function)(*arguments)
    (found,) = _undone(program.jaxpr, program.consts, jax.tree.leaves(arguments))
    return jnp.reshape(found.parts, found.parts.shape[-1]) if isinstance(found, _Sum) else jnp.reshape(found, 1)  # () and (1,) are numbers


def _undone(program: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """Results of a program, as sums where they are some."""
    known: dict[Any, Any] = dict(zip([*program.constvars, *program.invars], [*constants, *arguments], strict=True))
    read = lambda one: one.val if isinstance(one, Literal) else known[one]
    for step in program.eqns:
        given = [read(one) for one in step.invars]
        if (inner := _inner(step)) is not None:
            made = _undone(inner.jaxpr, inner.consts, given)
        elif (left := _linear(step, given)) is not None:
            made = [left]
        else:
            made = _done(step, [one.parts.sum(-1, dtype=one.parts.dtype) if isinstance(one, _Sum) else one for one in given])
        known.update(zip(step.outvars, made, strict=True))
    return [read(one) for one in program.outvars]


def _done(step: Any, given: Sequence[Any], **named: Any) -> list[Any]:
    """The results of a step, with some of its settings as `named`."""
    result = step.primitive.bind(*given, **(step.primitive.get_bind_params(step.params) | named))
    return list(result) if step.primitive.multiple_results else [result]


def _inner(step: Any) -> ClosedJaxpr | None:
    """The program of a step that does nothing but call it."""
    if step.primitive.name not in ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call"):
        return None
    return step.params["jaxpr"] if "jaxpr" in step.params else step.params["call_jaxpr"]


def _linear(step: Any, given: list[Any]) -> _Sum | None:
    """The result of a step as a sum, where it is one."""
    name, made = step.primitive.name, np.dtype(step.outvars[0].aval.dtype)
    if made.kind not in "if" or made.itemsize < _WIDE[made.kind]:  # a short sum turns over, its terms each by itself do not
        return None
    if name == "reduce_sum":
        first = given[0]
        inside = first.parts if isinstance(first, _Sum) else first[..., None]
        axes = step.params["axes"]
        rest = [axis for axis in range(inside.ndim - 1) if axis not in axes]
        moved = jnp.transpose(inside, (*rest, *axes, inside.ndim - 1))
        return _Sum(moved.reshape((*(inside.shape[axis] for axis in rest), -1)))
    if not any(isinstance(one, _Sum) for one in given):
        return None
    parts = [one.parts if isinstance(one, _Sum) else jnp.asarray(one)[..., None] for one in given]
    if name == "neg":
        return _Sum(-parts[0])
    if name in ("convert_element_type", "div") and made.kind != "f":  # of whole numbers: the sum is rounded, and not its terms
        return None
    if name == "convert_element_type":
        return _Sum(parts[0].astype(made))
    if (name == "mul" and sum(isinstance(one, _Sum) for one in given) == 1) or (name == "div" and not isinstance(given[1], _Sum)):
        return _Sum(parts[0] * parts[1] if name == "mul" else parts[0] / parts[1])
    if name in ("add", "sub", "add_any"):
        lead = step.outvars[0].aval.shape
        both = [jnp.broadcast_to(one, (*lead, one.shape[-1])) for one in (parts[0], -parts[1] if name == "sub" else parts[1])]
        return _Sum(jnp.concatenate(both, -1))
    return None


# ---------------------------------------------------------------------- who sees whom
class _Opaque(Exception):
    """A step of which is not known what its elements see."""


def reach(function: Callable[..., Any], state: Any, *others: Any) -> sparse.csr_matrix | None:
    """Which elements of `state` the elements of ``function(state, *others)`` may depend on, ``(element, site)``; None: not known.

    Examples
    --------
    >>> found = reach(lambda x: x[1:] * jnp.sin(x[:-1]), np.zeros(4))
    >>> found.toarray().astype(int).tolist()
    [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
    >>> reach(lambda x: jnp.linalg.inv(x.reshape(2, 2)), np.zeros(4)) is None
    True
    """
    program = jax.make_jaxpr(function)(state, *others)
    seen = sparse.identity(int(np.prod(state.shape)), bool, "csr")
    nothing = [None] * len(jax.tree.leaves(others))
    try:
        (found,) = _seen(program.jaxpr, [np.asarray(one) for one in program.consts], [seen, *nothing])
    except _Opaque:
        return None
    return found if sparse.issparse(found) else None


def _seen(program: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """What every result sees, a matrix ``(element, site)``; an array where it is known by now; None of what sees no site."""
    known: dict[Any, Any] = dict(zip([*program.constvars, *program.invars], [*constants, *arguments], strict=True))
    read = lambda one: np.asarray(one.val) if isinstance(one, Literal) else known[one]
    for step in program.eqns:
        given = [read(one) for one in step.invars]
        if (inner := _inner(step)) is not None:
            made: Sequence[Any] = _seen(inner.jaxpr, [np.asarray(one) for one in inner.consts], given)
        elif any(sparse.issparse(one) for one in given):
            made = [_passed(step, given)]
        elif all(one is not None for one in given) and not step.effects:
            made = [np.asarray(one) for one in _done(step, given)]
        else:
            made = [None] * len(step.outvars)
        known.update(zip(step.outvars, made, strict=True))
    return [read(one) for one in program.outvars]


def _passed(step: Any, given: list[Any]) -> sparse.csr_matrix:
    """What the elements of a step's result see."""
    name, shapes, after = step.primitive.name, [one.aval.shape for one in step.invars], step.outvars[0].aval.shape
    seeing = [place for place, one in enumerate(given) if sparse.issparse(one)]
    if name in ELEMENTWISE:
        # An operand may be a number, or of one element along an axis that the result has more of.
        places = [np.broadcast_to(np.arange(int(np.prod(one))).reshape(one), after).ravel() for one in shapes]
        rows = [given[k] if shapes[k] == after else given[k][places[k]] for k in seeing]
        return sum(rows[1:], rows[0])
    if name in REDUCING:
        kept = [1 if axis in step.params["axes"] else extent for axis, extent in enumerate(shapes[0])]
        into = np.broadcast_to(np.arange(int(np.prod(after))).reshape(kept), shapes[0]).ravel()
        sums = sparse.csr_matrix((np.ones(len(into), bool), (into, np.arange(len(into)))), (int(np.prod(after)), len(into)))
        return (sums @ given[0]).tocsr()
    if name in MOVING:
        return _moved(step, given, shapes)
    raise _Opaque


def _moved(step: Any, given: list[Any], shapes: list[tuple[int, ...]]) -> sparse.csr_matrix:
    """The rows of elements that only change places: the step itself says where, done to their numbers."""
    data = len(given) if step.primitive.name in ("concatenate", "pad") else 1  # what follows says where
    if any(one is None or sparse.issparse(one) for one in given[data:]):
        raise _Opaque
    sites = next(one.shape[1] for one in given if sparse.issparse(one))
    numbers, rows, start = [], [], 0
    for one, shape in zip(given[:data], shapes[:data], strict=True):
        size = int(np.prod(shape))
        numbers.append(np.arange(start, start + size, dtype=np.int32).reshape(shape))
        rows.append(one if sparse.issparse(one) else sparse.csr_matrix((size, sites), dtype=bool))
        start += size
    named = {"fill_value": -1} if "fill_value" in step.params else {}
    found = np.asarray(_done(step, [*numbers, *given[data:]], **named)[0]).ravel()
    if found.size and (found.min() < 0 or found.max() >= start):  # filled in from outside
        raise _Opaque
    return sparse.vstack(rows, "csr")[found]
