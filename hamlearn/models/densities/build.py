"""From the description of a density to the density, and its weights as plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from hamlearn.errors import HamlearnError
from hamlearn.models.autoregressive import Autoregressive
from hamlearn.models.densities.circular import CircularSpline
from hamlearn.models.densities.conditionals import Bernoulli, Categorical, Conditional
from hamlearn.models.densities.density import Density
from hamlearn.models.densities.gru import Gru
from hamlearn.models.densities.local import Local
from hamlearn.models.densities.made import Made
from hamlearn.models.densities.mixtures import BetaMixture, GaussianMixture, LogisticMixture, VonMisesMixture
from hamlearn.models.densities.orders import unwrapping
from hamlearn.models.densities.pixelcnn import PixelCNN
from hamlearn.models.densities.symmetrised import Symmetrised
from hamlearn.models.densities.symmetry import permutations
from hamlearn.models.densities.transformer import Transformer
from hamlearn.models.flow import Flow
from hamlearn.systems.base import Space

CONDITIONALS: dict[str, Callable[[Space, int], Conditional]] = {
    "bernoulli": lambda space, k: Bernoulli(),
    "categorical": lambda space, k: Categorical(space.q),
    "gaussian-mixture": lambda space, k: GaussianMixture(k),
    "logistic-mixture": lambda space, k: LogisticMixture(k),
    "circular-spline": lambda space, k: CircularSpline(k),
    "vonmises-mixture": lambda space, k: VonMisesMixture(k),
    "beta": lambda space, k: BetaMixture(1),
    "beta-mixture": lambda space, k: BetaMixture(k),
}
NETWORKS: dict[str, type[nn.Module]] = {"made": Made, "gru": Gru, "transformer": Transformer, "pixelcnn": PixelCNN}


def build(model: Autoregressive | Flow, space: Space, shape: tuple[int, ...], seed: int = 0) -> Symmetrised:
    """The density of a model on sites of `shape` with values in `space`, with fresh weights.

    Raises
    ------
    HamlearnError
        If network, conditional, symmetry or charge do not go with the sites or the space.
    """
    if isinstance(model, Flow):
        from hamlearn.models.densities.flow import build_flow  # loads Pyro, which the others do without

        return build_flow(model, space, shape, seed)
    conditional = CONDITIONALS[model.conditional_for(space)](space, model.components)
    internal, mirror = _symmetries(model, space)
    n = int(np.prod(shape))
    if model.charge is not None:
        _check_charge(model.charge, n, space)
    order = unwrapping(shape, model.order)
    context = 2 if model.condition == "beta" else 0
    generator = torch.Generator().manual_seed(seed)
    sizes: tuple[Any, ...] = (conditional.features, conditional.size, model.hidden, context, generator)
    if model.network == "pixelcnn":
        if len(shape) != 2:
            raise HamlearnError(f"'pixelcnn' needs two site axes; got shape {shape}. Use network='made', 'gru' or 'transformer'.")
        network: nn.Module = PixelCNN(shape, *sizes)
    elif model.network == "local":
        if len(shape) != 1:
            raise HamlearnError(
                f"'local' is for chains, p(x_t | x_(t-1), x_0): one site axis; got shape {shape}, where a site has neighbours along "
                f"{len(shape)} axes. Use network='made', 'gru' or 'transformer'."
            )
        if model.charge is not None:
            raise HamlearnError("'local' sees two sites only and cannot keep charge=; use network='made', 'gru' or 'transformer'.")
        k = model.components
        # Means of Gaussians are positions: the second third of their parameters.
        network = Local(n, *sizes, positions=slice(k, 2 * k) if isinstance(conditional, GaussianMixture) else None)
    elif model.network == "made":
        network = Made(n, *sizes)
    else:
        network = NETWORKS[model.network](n, *sizes, earlier=earlier_neighbours(shape, order))
    group = permutations(shape, model.symmetry)
    return Density(
        network,
        conditional,
        order,
        space,
        group,
        internal=internal,
        mirror=mirror,
        charge=model.charge,
        context=context,
        linear=model.network != "local",
    )


def earlier_neighbours(shape: tuple[int, ...], order: np.ndarray) -> np.ndarray:
    """Positions of the neighbours on the torus that come earlier in the order, −1 for the others, ``(n, 2 axes)``."""
    sites, rank = np.arange(len(order)).reshape(shape), np.argsort(order, kind="stable")
    around = [np.roll(sites, step, axis).ravel() for axis in range(len(shape)) for step in (1, -1)]
    positions = rank[np.stack(around, 1)][order]
    return np.where(positions < np.arange(len(order))[:, None], positions, -1)


def context_of(beta: Any, count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """What a conditioned network knows of the temperature: β and ln β, ``(count, 2)``."""
    values = torch.as_tensor(np.broadcast_to(np.asarray(beta, np.float64), (count,)).copy(), dtype=dtype)
    return torch.stack([values, torch.log(values)], 1)


def weights_of(density: Symmetrised) -> dict[str, np.ndarray]:
    """Everything that was learned, as arrays."""
    return {name: value.detach().numpy().copy() for name, value in density.state_dict().items()}


def with_weights(density: Symmetrised, weights: Mapping[str, np.ndarray]) -> Symmetrised:
    """`density` with weights that :func:`weights_of` read, in their own precision.

    Raises
    ------
    HamlearnError
        If names or shapes differ: weights of another model, lattice or space.
    """
    wanted = {name: tuple(value.shape) for name, value in density.state_dict().items()}
    # Files of before hold the networks of autoregressive spline flows by two names.
    weights = {name: value for name, value in weights.items() if name in wanted or name.replace(".arn.", ".spline.nn.") not in wanted}
    found = {name: tuple(np.shape(value)) for name, value in weights.items()}
    if wanted != found:
        name = next(name for name in [*wanted, *found] if wanted.get(name) != found.get(name))
        raise HamlearnError(
            f"these weights belong to another network, lattice or space: {name!r} has shape {found.get(name)}, expected {wanted.get(name)}."
        )
    density.load_state_dict({name: torch.as_tensor(np.array(value)) for name, value in weights.items()})
    return density


def _symmetries(model: Autoregressive, space: Space) -> tuple[bool, bool]:
    """Whether states are turned to a fixed first site, and whether signs of reals or angles are averaged over."""
    names = set(model.symmetry)
    if "z2" in names and not space.signed:
        raise HamlearnError(
            f"symmetry 'z2' is the flip of spins or reals; for {space.name} use 'internal' (shift of all states, rotation)."
        )
    if "internal" in names and space.unbounded:
        raise HamlearnError("symmetry 'internal' of reals is their sign: use 'z2'.")
    if "o2" in names and space.period is None:
        raise HamlearnError(f"symmetry 'o2' is the rotation and reflection of angles; for {space.name} use 'z2' or 'internal'.")
    turned = bool(names & {"z2", "internal", "o2"}) and not space.unbounded
    if turned and space.period is not None and model.conditional in ("beta", "beta-mixture"):
        raise HamlearnError("a Beta density has a seam at 0 and cannot be rotated; use conditional='vonmises-mixture'.")
    return turned, ("z2" in names and space.unbounded) or "o2" in names


def _check_charge(charge: int, n: int, space: Space) -> None:
    if not space.binary:
        raise HamlearnError(f"charge= is the conserved sum of spins; the data are {space.name}.")
    if abs(charge) > n or (n + charge) % 2:
        raise HamlearnError(f"{n} spins cannot have the sum {charge}: it must be between {-n} and {n} and as even or odd as {n}.")
