"""Where public data sets come from: every file with its address, size and checksum, every set with its licence and citation."""

from __future__ import annotations

from dataclasses import dataclass

_RAW = "https://raw.githubusercontent.com/"


@dataclass(frozen=True)
class File:
    """One file as its owner publishes it.

    Attributes
    ----------
    name : str
        Its name, which it keeps.
    url : str
        Where it is fetched from: a state of a repository that does not change.
    size : int
        Bytes.
    sha256 : str
        Of the content, hexadecimal.
    """

    name: str
    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A public data set: whose it is, and of which files it consists.

    Attributes
    ----------
    name : str
        What this library calls it.
    title : str
        What it is.
    folder : str
        The folder that holds its files, inside ``HAMLEARN_DATA`` or the cache.
    home : str
        Repository of its owner.
    licence : str
        Its owner's.
    cite : str
        What to cite who uses it.
    files : tuple of File
        Its files.
    """

    name: str
    title: str
    folder: str
    home: str
    licence: str
    cite: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


_ANNEALER = Source(
    name="annealer",
    title="500 000 readouts of 62 qubits of a D-Wave 2X quantum annealer at Los Alamos, as a histogram",
    folder="dwave2x_lanl_62q",
    home="https://github.com/lanl-ansi/inverse_ising",
    licence="BSD-style",
    cite="A. Y. Lokhov, M. Vuffray, S. Misra and M. Chertkov, Science Advances 4, e1700791 (2018)",
    files=(
        File(
            "dwave_samples.zip",
            _RAW + "lanl-ansi/inverse_ising/ac01adbc71dffd201bdca04a4b0102f08937234a/data_dwave/dwave_samples.zip",
            2_067_733,
            "224e0041c1166cac6895c539d31bbb7ab3e8666c91ce4713f492ea024480fa31",
        ),
    ),
)

_ATOMS = Source(
    name="atoms",
    title="snapshots of 16 × 16 Rydberg atoms swept from disorder to a checkerboard, 24 detunings, 500 shots each",
    folder="rydberg_kz_16x16",
    home="https://github.com/slattekr/RydbergStateReReconstruction",
    licence="Apache-2.0",
    cite="S. Ebadi et al., Nature 595, 227 (2021); M. S. Moss et al., Physical Review A 109, 032410 (2024)",
    files=tuple(
        File(
            f"KZ_data_16x16_{rate}_MHz_per_us.npz",
            _RAW
            + "slattekr/RydbergStateReReconstruction/cbebb6d1b79f892c4b198f7133ee8f5652affec7/KZ_Data/"
            + f"KZ_data_16x16_{rate}_MHz_per_us.npz",
            3_085_758,
            digest,
        )
        for rate, digest in (
            (21, "ad3424b71a4dc5f6f45443d5a79a73aff30cc71f115d5d75aad5e307a21f8ae9"),
            (120, "31cf25d6a84ef82f42602c9f9ab30fa1da5f5b29db960dc32265dd2bbbf79674"),
        )
    ),
)

_NEURONS = Source(
    name="neurons",
    title="spikes of 15 neurons in 40 000 time bins",
    folder="neurons_15",
    home="https://github.com/orimaoz/maxent_toolbox",
    licence="MIT",
    cite="O. Maoz and E. Schneidman, doi:10.5281/zenodo.191625",
    files=(
        File(
            "example15.mat",
            _RAW + "orimaoz/maxent_toolbox/82b4528/example/example15.mat",
            79_802,
            "8fa17e20b92f0eece540dd487e4437f35f223ccb86759bc36b3aaf56ba7c9344",
        ),
    ),
)

_PROTEIN = Source(
    name="protein",
    title="13 600 aligned sequences of the protein family PF00014, 53 positions, with weights and known distances",
    folder="potts_pf00014",
    home="https://github.com/pagnani/ArDCA.jl",
    licence="MIT",
    cite="J. Trinquier et al., Nature Communications 12, 5800 (2021)",
    files=tuple(
        File(name, _RAW + "pagnani/ArDCA.jl/713c6c7/data/PF14/" + name, size, digest)
        for name, size, digest in (
            ("PF00014_mgap6.fasta.gz", 466_422, "0030fb725b60f7f9b1d1acb7500d4ca080dc3b9c792687c554c246d14b06e322"),
            ("weights_14.gz", 21_939, "bba533d3fe7891e1a1fece6fdc37194a89df3cb8b0ce04ad088c7c2985cf3c5c"),
            ("tab_cont", 138_678, "6589d02d940525334fcf25d5e0c2972cbf97b0f126cc89626d157a231a26a469"),
        )
    ),
)

SOURCES = {source.name: source for source in (_ANNEALER, _ATOMS, _NEURONS, _PROTEIN)}
