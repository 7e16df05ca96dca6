"""Normalised neural densities p(σ) = Π_i p(σ_i | σ_<i).

:class:`Autoregressive` says what the density is and is all that the rest of the library sees; it loads no torch. The
networks are built by :mod:`.build` when something is learned or evaluated. To add a network: one file with the two
methods of :class:`.density.Network` and a line in ``build.NETWORKS``; to add a conditional: a class with the members of
:class:`.conditionals.Conditional` and a line in ``build.CONDITIONALS``. :mod:`.flow` has the density of
:class:`hamlearn.models.Flow`; what both share is :class:`.symmetrised.Symmetrised`.
"""

from hamlearn.models.autoregressive.spec import Autoregressive

__all__ = ["Autoregressive"]
