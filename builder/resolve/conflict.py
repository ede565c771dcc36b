"""Explains a version conflict: the chains of requirements that exclude each other."""

from builder.base.errors import ConflictError
from builder.recipe.recipe import Version
from builder.recipe.requirement import Requirement
from builder.resolve.state import State, Unsatisfied, Want

_MOST_CHAINS = 12


def unsatisfied(found: Unsatisfied, *, searched: str = "") -> ConflictError:
    """The error for a package without a version left. `searched`: the result of a search, in words."""
    state, name = found.state, found.name
    query = state.universe.query
    recipe = query.recipes.get(name)
    if recipe is None:
        return _no_recipe(state, name)
    lines = [f"no version of {name} satisfies all requirements:", *(f"  {line}" for line in _wants(state, name))]
    if name in query.features:
        lines.append(f"  {query.label} turns on {Requirement(name, query.features[name])}")
    constraints = (want for _, want in sorted(query.constraints.items()) if _concerns(state, name, want))
    lines += [f"  {query.label} constrains {want}" for want in constraints]
    provided = sorted({each.want.name for each in state.wants[name]} - {name})
    features = name in query.features or any(each.want.features for each in state.wants[name])
    lines.append("versions known: " + ", ".join(_shown(each, provided, features) for each in recipe.versions))
    if searched:
        lines.append(f"that is how the first choice fails; {searched}")
    hint = f"loosen one of these, or add a version to {recipe.path} that all of them admit"
    return ConflictError("\n".join(lines), where=query.label, hint=hint)


def cycle(state: State, names: list[str]) -> ConflictError:
    """The error for chosen versions that need each other."""
    chain = " -> ".join(f"{name} {state.domain[name][0]}" for name in names)
    hint = "take one of these requirements out, or constrain one of these packages to another version"
    return ConflictError(f"these versions need each other: {chain}", where=state.universe.query.label, hint=hint)


def _no_recipe(state: State, name: str) -> ConflictError:
    query = state.universe.query
    providers = sorted(
        each for each, recipe in query.recipes.items() if any(name in version.provides for version in recipe.versions)
    )
    chain = _chain(state, state.wants[name][0])
    hint = f"add recipes/{name}.toml"
    if providers:
        hint = f"choose one in the profile: [providers] {name} = \"{providers[0]}\""
    return ConflictError(f"there is no recipe '{name}':\n  {chain}", where=query.label, hint=hint)


def _wants(state: State, name: str) -> list[str]:
    """Chains to requirements that leave something out; each requirement once."""
    everything = frozenset(each.version for each in state.universe.query.recipes[name].versions)
    rows: dict[Requirement, list[Want]] = {}
    for each in state.wants[name]:
        admitted = state.universe.admitted(name, each.want)
        if admitted is not None and admitted != everything:
            rows.setdefault(each.want, []).append(each)
    lines = []
    for same in list(rows.values())[:_MOST_CHAINS]:
        more = f" (and {len(same) - 1} more want the same)" if len(same) > 1 else ""
        lines.append(_chain(state, same[0]) + more)
    return lines + ([f"and {len(rows) - _MOST_CHAINS} more"] if len(rows) > _MOST_CHAINS else [])


def _chain(state: State, want: Want) -> str:
    """Like "image openresty (profile upstream) -> openresty 1.19.9.1 wants openssl 1.1.1*"."""
    query = state.universe.query
    names: list[str] = []
    origin = want.origin
    while isinstance(origin, str):
        names.append(_shown_package(state, origin))
        origin = state.wants[origin][0].origin
    root = f"{query.roots[origin][0]} ({query.label})"
    return " -> ".join([root, *reversed(names)]) + f" wants {want.want}"


def _shown_package(state: State, name: str) -> str:
    versions = state.domain[name]
    return f"{name} {versions[0]}" if len(versions) == 1 else name


def _concerns(state: State, name: str, want: Requirement) -> bool:
    """Whether a constraint is on a package, or on a name that others want of it as a provider."""
    return want.name == name or any(each.want.name == want.name for each in state.wants[name])


def _shown(version: Version, provided: list[str], features: bool) -> str:
    """A version, with the versions that it carries of the packages it was asked for, and whether it lacks features
    asked for."""
    inside = [f"{each} {version.provides[each]}" for each in provided if each in version.provides]
    inside += ["built in its own way, without features"] if version.own_style and features else []
    return f"{version.version} ({', '.join(inside)})" if inside else version.version
