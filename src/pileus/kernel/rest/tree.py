"""Finds the endpoint for a path: one dictionary look-up per segment."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pileus.kernel.rest.binding import Endpoint, bind
from pileus.kernel.rest.routing import Api


@dataclass(slots=True)
class Node:
    """What may follow a piece of path, and what answers when the path ends here."""

    children: dict[str, "Node"] = field(default_factory=dict)
    parameter: "Node | None" = None
    rest: "Node | None" = None
    names: tuple[str, ...] = ()
    endpoints: dict[str, list[Endpoint]] = field(default_factory=dict)

    @property
    def ends_with_slash(self) -> bool:
        """Whether the path may be written with a slash at its end; an API's own may always."""
        every = [endpoint for some in self.endpoints.values() for endpoint in some]
        return all(endpoint.api.final_slash or not endpoint.route.path for endpoint in every)


class Tree:
    """All endpoints of one service."""

    def __init__(self, apis: list[Api]) -> None:
        self.root = Node()
        self.endpoints: list[Endpoint] = []
        self.default: Api | None = next((api for api in apis if api.is_default), None)
        for api in apis:
            for route in api.routes:
                endpoint = bind(api, route)
                self.endpoints.append(endpoint)
                self._add(api.prefix + route.path, endpoint)
                if api.project_in_path:
                    self._add(f"{api.prefix}/{{project_id}}{route.path}", endpoint)

    def _add(self, path: str, endpoint: Endpoint) -> None:
        node, names = self.root, []
        for segment in path.split("/")[1:]:
            if segment.endswith(":path}"):
                names.append(segment[1:-6])
                node.rest = node.rest or Node()
                node = node.rest
            elif segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, Node())
        # Names live with each endpoint's node; two routes of one shape must agree on them.
        if node.endpoints and node.names != tuple(names):
            raise TypeError(f"{path}: another route of this shape calls its parameters {node.names}")
        node.names = tuple(names)
        node.endpoints.setdefault(endpoint.route.method, []).append(endpoint)

    def find(self, segments: list[str]) -> tuple[Node, dict[str, str]] | None:
        """Return the node where the path ends and its parameters, or None; literal segments win."""
        found = _walk(self.root, segments, 0, ())
        if found is None:
            return None
        node, values = found
        return node, dict(zip(node.names, values, strict=True))


_trees: dict[tuple[int, ...], Tree] = {}


def tree_of(apis: Sequence[Api]) -> Tree:
    """Return the tree of these APIs with the routes they have now, made once however many clouds this process runs."""
    key = tuple(number for api in apis for number in (id(api), len(api.routes)))
    if key not in _trees:
        _trees[key] = Tree(list(apis))  # its endpoints hold the APIs, so that no other gets their place in memory
    return _trees[key]


def _walk(node: Node, segments: list[str], at: int, values: tuple[str, ...]) -> tuple[Node, tuple[str, ...]] | None:
    if at == len(segments):
        return (node, values) if node.endpoints else None
    segment = segments[at]
    child = node.children.get(segment)
    if child is not None:
        found = _walk(child, segments, at + 1, values)
        if found is not None:
            return found
    if node.parameter is not None and segment:
        found = _walk(node.parameter, segments, at + 1, (*values, segment))
        if found is not None:
            return found
    if node.rest is not None and (segment or at + 1 < len(segments)):  # a trailing slash alone is no rest
        return node.rest, (*values, "/".join(segments[at:]))
    return None
