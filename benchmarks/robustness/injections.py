"""Hostile texts in every field of a posterior, a prediction and a data set: a report shows them as text, or they are refused.

    python benchmarks/robustness/injections.py --sample 400

A field is an attribute, a string or a key inside an attribute's JSON, a label of a coordinate, a name of a variable or a dimension, a
title. One field is replaced by one text, the page is made and parsed, and compared with the clean page: no element, attribute, comment
or reference may be there that the clean page has not, no script more, nothing computed by a template engine, no NUL, and the policy that
forbids all scripts but the page's own unchanged.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import common
import numpy as np

BATCH = 6
TEXTS = (
    '"><img src=x onerror=document.title="OWNED">',
    "</script><script>document.title='OWNED'</script>",
    "</title><svg onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "'><iframe srcdoc='<script>alert(1)</script>'>",
    "javascript:alert(1)",
    "{{7777*7777}}{% for x in (1,) %}{{x}}{% endfor %}",
    "${7777*7777}<%= 7777*7777 %>",
    "$\\frac{$",
    "$\\undefined{x}$ a_b^c \\input{/etc/passwd}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "]]><script>alert(1)</script><![CDATA[",
    "--><script>alert(1)</script><!--",
    "nul\0<b>bold</b>\x08\x1b[31m",
    "\u202e<script>\u202calert(1)",
    "\ud800<i>half a pair</i>",
    "x" * 10_000 + "<b>",
    "one\n<br>two\r\n<script>alert(1)</script>",
    "url(javascript:alert(1));}</style><x>",
    '" style="background:url(//evil.example)" onmouseover="alert(1)',
    "<base href=//evil.example><form action=//evil.example><input>",
    "\U0001f480<a href=//evil.example>",
    "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
)


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: dict[str, int] = {}
        self.attributes: set[tuple[str, str]] = set()
        self.pointers: set[str] = set()
        self.comments = 0
        self.policy = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] = self.elements.get(tag, 0) + 1
        for name, value in attrs:
            self.attributes.add((tag, name))
            if name in ("href", "xlink:href", "src", "srcdoc", "action", "formaction", "data", "style") and not (value or "").startswith(
                "#"
            ):
                self.pointers.add((value or "").split(",")[0][:80])
        named = dict(attrs)
        if named.get("http-equiv", "").lower() == "content-security-policy":
            self.policy += "".join(part for part in (named.get("content") or "").split(";") if "script" in part or "default" in part)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_comment(self, data: str) -> None:
        self.comments += 1

    def unknown_decl(self, data: str) -> None:
        self.comments += 1


def faults(text: str, clean: str) -> list[str]:
    """What the page has that the clean one has not."""
    page, sound = Page(text), Page(clean)
    found = [f"element <{name}>" for name in page.elements.keys() - sound.elements.keys()]
    found += [f"attribute {name} of <{tag}>" for tag, name in page.attributes - sound.attributes if tag in sound.elements]
    found += [f"points to {value!r}" for value in page.pointers - sound.pointers if not value.startswith("data:image/png;base64")]
    found += ["another script"] if page.elements.get("script", 0) > sound.elements.get("script", 0) else []
    found += ["a comment"] if page.comments > sound.comments else []
    found += ["another policy"] if page.policy != sound.policy else []
    found += ["a template was run"] if "60481729" in text and "60481729" not in clean else []
    return found + (["NUL"] if "\0" in text else [])


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of strings and of keys in JSON; a key's place ends with None."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield (*path, key, None)
            yield from _leaves(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value[:2]):
            yield from _leaves(one, (*path, index))
    elif isinstance(value, str):
        yield path


def _with(value: Any, path: tuple[Any, ...], text: str) -> Any:
    """A copy of JSON with one place replaced."""
    if not path:
        return text
    out = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 2 and path[1] is None:
        return {text if key == path[0] else key: one for key, one in out.items()}
    out[path[0]] = _with(value[path[0]], path[1:], text)
    return out


def _attributes(attrs: Any) -> Iterator[tuple[str, Callable[[str], Any]]]:
    """Every place of text in attributes, with what makes the new value of that attribute."""
    for key, value in attrs.items():
        yield key, lambda text: text
        try:
            tree = json.loads(value) if isinstance(value, str) and value[:1] in "{[" else None
        except ValueError:
            tree = None
        for path in _leaves(tree):
            yield f"{key}:{'.'.join(map(str, path))}", lambda text, tree=tree, path=path: json.dumps(_with(tree, path, text))


def fields_of(data: Any) -> Iterator[tuple[str, Callable[[Any, str], Any]]]:
    """Every field of a Dataset with what returns a changed copy."""

    def attribute(owner: str | None, key: str, made: Callable[[str], Any]) -> Callable[[Any, str], Any]:
        def change(one: Any, text: str) -> Any:
            out = one.copy()
            target = out.attrs if owner is None else out[owner].attrs
            target[key.partition(":")[0]] = made(text)
            return out

        return change

    def label(name: str, index: int) -> Callable[[Any, str], Any]:
        def change(one: Any, text: str) -> Any:
            values = one[name].values.astype(object)
            values[index] = text
            return (
                one.assign_coords({name: (one[name].dims, values)}) if name in one.coords else one.assign({name: (one[name].dims, values)})
            )

        return change

    for key, made in _attributes(data.attrs):
        yield f"attribute {key}", attribute(None, key, made)
    for name in data.variables:
        for key, made in _attributes(data[name].attrs):
            yield f"attribute {key} of {name}", attribute(name, key, made)
        if data[name].dtype.kind in "OU" and data[name].ndim == 1:
            for index in range(min(2, data[name].size)):
                yield f"value {index} of {name}", label(name, index)
        yield f"name of {name}", lambda one, text, name=name: one.rename({name: text})
        yield f"long name of {name}", lambda one, text, name=name: attribute(name, "long_name", lambda t: t)(one, text)
        yield f"unit of {name}", lambda one, text, name=name: attribute(name, "units", lambda t: t)(one, text)
    for name in data.sizes:
        if name not in data.variables:
            yield f"dimension {name}", lambda one, text, name=name: one.rename_dims({name: text})
    yield "an attribute more", lambda one, text: one.assign_attrs({"note": text})
    yield "an attribute's name", lambda one, text: one.assign_attrs({text: "note"})
    yield "a variable more", lambda one, text: one.assign({text: next(iter(one.data_vars.values()))})


def fields_of_tree(tree: Any) -> Iterator[tuple[str, Callable[[Any, str], Any]]]:
    """Every field of a DataTree."""
    import xarray as xr

    for node in tree.subtree:
        path = node.path
        for name, change in fields_of(node.to_dataset(inherit=False)):

            def changed(one: Any, text: str, path: str = path, change: Any = change) -> Any:
                parts = {part.path: part.to_dataset(inherit=False) for part in one.subtree}
                parts[path] = change(parts[path], text)
                return xr.DataTree.from_dict(parts)

            yield f"{path} {name}", changed


def make(shelf: Path) -> tuple[list[str], list[str], list[str]]:
    """A posterior with checks, a prediction, data; the names of their fields."""
    import hamlearn as hl
    from hamlearn import storage

    data = hl.simulate(hl.systems.EdwardsAnderson((3, 3), seed=1), beta=0.5, draws=300, chains=2, seed=0, sampler="exact")
    post = hl.learn(data, hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3))), engine="laplace", seed=0)
    curve = hl.predict(post, beta=[0.3, 0.6], observables=["energy", "entropy"], draws=8, seed=0)
    storage.write_dataset(data, shelf / "data.nc")
    hl.save(post, shelf / "post.nc")
    storage.write_dataset(curve, shelf / "curve.nc")
    hl.report(post, shelf / "clean.html", prediction=curve)
    return [name for name, _ in fields_of_tree(post)], [name for name, _ in fields_of(curve)], [name for name, _ in fields_of(data)]


def batch(pairs: list[tuple[str, str, int]], shelf: Path) -> list[tuple[str, str]]:
    """In a child: (what, field, number of the text) to ("page", faults), ("refused", message) or ("raw", error)."""
    import hamlearn as hl
    from hamlearn import storage

    post, curve, data = hl.load(shelf / "post.nc"), storage.read_dataset(shelf / "curve.nc"), hl.microstates(shelf / "data.nc")
    clean = (shelf / "clean.html").read_text(encoding="utf-8")
    sources = {"posterior": post, "prediction": curve, "data": data}
    changes = {"posterior": dict(fields_of_tree(post)), "prediction": dict(fields_of(curve)), "data": dict(fields_of(data))}
    found = []
    for what, field, number in pairs:
        text, page = TEXTS[number], shelf / f"page-{number}.html"
        try:
            changed = _changed(changes[what][field], sources[what], text) if what in changes else None
            if what in changes and changed is None:
                found.append(("impossible", ""))  # xarray itself does not hold this
                continue
            if what == "posterior":
                hl.report(changed, page, prediction=curve)
            elif what == "prediction":
                hl.report(post, page, prediction=changed)
            elif what == "data":
                model = hl.models.Couplings(hl.systems.lattice.hypercubic((3, 3)))
                hl.report(hl.learn(changed, model, engine="laplace", check=False, seed=0), page, prediction=curve)
            else:
                hl.report(post, page, prediction=curve, title=text)
            seen = faults(page.read_bytes().decode("utf-8", "surrogateescape"), clean)
            found.append(("page", "; ".join(sorted(seen))))
        except hl.HamlearnError as error:
            found.append(("refused", str(error)))
        except BaseException as error:
            found.append(("raw", f"{type(error).__name__}: {str(error)[:160]}"))
        page.unlink(missing_ok=True)
    return found


def _changed(change: Callable[[Any, str], Any], source: Any, text: str) -> Any:
    try:
        return change(source, text)
    except Exception:
        return None


def audit(sample: int, seed: int, only: str = "", quiet: bool = False) -> common.Part:
    """Fields × texts, or some of them: every field at least once where the sample allows."""
    command = f"python benchmarks/robustness/injections.py --sample {sample} --seed {seed}"
    part = common.Part("injections", "Hostile texts in reports", command, quiet=quiet)
    common.import_everything()
    shelf = Path(tempfile.mkdtemp(prefix="injections-"))
    made = common.isolated(lambda: make(shelf), 600)
    if made.kind != "value":
        raise SystemExit(f"cannot make a page: {made}")
    rng = np.random.default_rng(seed)
    places = [("title", "title")] + [
        (what, name) for what, names in zip(("posterior", "prediction", "data"), made.value, strict=True) for name in names
    ]
    places = [place for place in places if only in place[0]]
    first = rng.permutation(len(places))
    pairs = [(*places[index], (turn + at) % len(TEXTS)) for turn in range(len(TEXTS)) for at, index in enumerate(first)]
    pairs = [("title", "title", number) for number in range(len(TEXTS)) if not only][: sample // 8] + pairs
    pairs = list(dict.fromkeys(pairs))[:sample]
    for start in range(0, len(pairs), BATCH):
        some = pairs[start : start + BATCH]
        outcome = common.isolated(lambda some=some: batch(some, shelf), 300)
        answers = outcome.value if outcome.kind == "value" else [("raw", f"{outcome.kind}: {outcome.message}")] * len(some)
        for (what, field, number), (kind, said) in zip(some, answers, strict=True):
            if kind == "impossible":
                part.add(what, "impossible in xarray")
                continue
            part.add(what, "injections")
            repeat = f"injections.py: {what}, {field}, text {number}: {TEXTS[number][:60]!r}"
            if kind == "page" and not said:
                part.add(what, "shown as text")
            elif kind == "refused":
                part.add(what, "refused")
            else:
                part.fault(what, "injected" if kind == "page" else "raw", said, repeat)
        if start // BATCH % 5 == 0:
            part.say(f"injections: {start + len(some)} of {len(pairs)}, {len(part.faults)} faults")
    shutil.rmtree(shelf, ignore_errors=True)
    return part


if __name__ == "__main__":
    options = common.arguments(__doc__, 400)
    raise SystemExit(common.finish(audit(options.sample, options.seed, options.only), options.faults))
