"""`/status`, `/clusters`, `/components`, `/templates`: what there is, and how it is."""

from typing import Annotated

from fastapi import APIRouter, Query

from holdfast.communication.model import ComponentState, Phase
from holdfast.communication.templates import impact_of, variables_of, written
from holdfast.estate.communication import IncidentTemplate
from holdfast.interfaces.api.callers import Reader, Served
from holdfast.interfaces.api.paging import Cursor, Limit, page_of
from holdfast.interfaces.api.problems import CONFLICT, NOT_FOUND, Problem, described
from holdfast.interfaces.api.services import Services
from holdfast.interfaces.api.shapes.estate import (
    ClusterPage,
    ClusterTold,
    ComponentPage,
    ComponentTold,
    Fill,
    Filled,
    StatusTold,
    TemplatePage,
    TemplateTold,
)
from holdfast.interfaces.api.shapes.incidents import states_of
from holdfast.interfaces.api.words import EstateKey
from holdfast.interfaces.site.wording import all_components, worst_shown

router = APIRouter()


@router.get("/status", operation_id="getStatus", tags=["status"], responses=described())
async def get_status(services: Served, _: Reader) -> StatusTold:
    """The whole estate as it is now, private clusters included."""
    overview = await services.overviews.overview()
    estate = services.estate()
    return StatusTold(
        as_of=overview.at,
        state=ComponentState(worst_shown(each for _, each in all_components(overview)).label),
        sample=overview.sample,
        clusters=[ClusterTold.of(each, estate) for each in overview.clusters],
    )


async def _clusters(services: Services) -> list[ClusterTold]:
    overview = await services.overviews.overview()
    estate = services.estate()
    return [ClusterTold.of(each, estate) for each in overview.clusters]


@router.get("/clusters", operation_id="listClusters", tags=["status"], responses=described())
async def list_clusters(services: Served, _: Reader, cursor: Cursor = None, limit: Limit = 50) -> ClusterPage:
    """Clusters with their components."""
    places = list(enumerate(await _clusters(services)))
    page, following = page_of(places, lambda each: f"{each[0]:09d}", cursor, limit)
    return ClusterPage(items=[each for _, each in page], next=following)


@router.get("/clusters/{cluster}", operation_id="getCluster", tags=["status"], responses=described(NOT_FOUND))
async def get_cluster(services: Served, _: Reader, cluster: EstateKey) -> ClusterTold:
    """One cluster with its components."""
    for each in await _clusters(services):
        if each.key == cluster:
            return each
    raise Problem(NOT_FOUND, f"there is no cluster {cluster!r}", hint="see GET /clusters")


@router.get("/components", operation_id="listComponents", tags=["status"], responses=described())
async def list_components(
    services: Served,
    _: Reader,
    cluster: Annotated[
        str | None, Query(max_length=63, pattern=r"^[a-z0-9-]+$", description="those of one cluster")
    ] = None,
    state: Annotated[ComponentState | None, Query(description="those that are in this state")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ComponentPage:
    """Components, in the estate's order."""
    found = [
        each
        for one in await _clusters(services)
        for each in one.components
        if cluster in {None, one.key} and state in {None, each.state}
    ]
    # Counted on: the order is the file's, and a reload may move what is not listed yet.
    places = list(enumerate(found))
    page, following = page_of(places, lambda each: f"{each[0]:09d}", cursor, limit)
    return ComponentPage(items=[each for _, each in page], next=following)


@router.get(
    "/components/{cluster}/{key}", operation_id="getComponent", tags=["status"],
    responses=described(NOT_FOUND),
)  # fmt: skip
async def get_component(services: Served, _: Reader, cluster: EstateKey, key: EstateKey) -> ComponentTold:
    """One component."""
    for one in await _clusters(services):
        for each in one.components:
            if (one.key, each.key) == (cluster, key):
                return each
    raise Problem(NOT_FOUND, f"there is no component {cluster}/{key}", hint="see GET /components")


@router.get("/templates", operation_id="listTemplates", tags=["incidents"], responses=described())
async def list_templates(
    services: Served, _: Reader, cursor: Cursor = None, limit: Limit = 50
) -> TemplatePage:
    """The estate's prepared incidents and updates."""
    templates = services.estate().communication.templates
    places = [(place, TemplateTold.of(*each)) for place, each in enumerate(templates.items())]
    page, following = page_of(places, lambda each: f"{each[0]:09d}", cursor, limit)
    return TemplatePage(items=[each for _, each in page], next=following)


@router.get(
    "/templates/{key}", operation_id="getTemplate", tags=["incidents"], responses=described(NOT_FOUND)
)
async def get_template(services: Served, _: Reader, key: EstateKey) -> TemplateTold:
    """One template."""
    return TemplateTold.of(key, _template(services, key))


def _template(services: Services, key: str) -> IncidentTemplate:
    found = services.estate().communication.templates.get(key)
    if found is None:
        raise Problem(NOT_FOUND, f"there is no template {key!r}", hint="see GET /templates")
    return found


@router.post(
    "/templates/{key}/fill", operation_id="fillTemplate", tags=["incidents"],
    responses=described(NOT_FOUND, CONFLICT),
)  # fmt: skip
async def fill_template(services: Served, _: Reader, key: EstateKey, fill: Fill) -> Filled:
    """The template's texts about these components. Stores nothing and tells nobody."""
    template, directory = _template(services, key), services.directory()
    states = states_of(fill.affected, directory, "body/affected")
    known = variables_of(directory.places, states, fill.began_at or services.clock.now())
    title, body = written(template, known, fill.variables)
    return Filled(
        title=title,
        body=body,
        impact=impact_of(template),
        phase=Phase(template.phase),
    )
