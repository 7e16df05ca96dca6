"""The networks of normalised neural densities p(σ) = Π_i p(σ_i | σ_<i); importing them needs the extra ``neural``.

What a density is, :class:`hamlearn.models.Autoregressive` and :class:`hamlearn.models.Flow` say beside this folder, without
torch: that is all that the rest of the library sees. The networks are built by :mod:`.build` when something is learned or
evaluated. To add a network: one file with the two methods of :class:`.density.Network` and a line in ``build.NETWORKS``; to add a
conditional: a class with the members of :class:`.conditionals.Conditional` and a line in ``build.CONDITIONALS``. :mod:`.flow` has
the density of :class:`hamlearn.models.Flow`; what both share is :class:`.symmetrised.Symmetrised`.
"""

from hamlearn import extras

extras.require("neural")
