"""The studio dialect: generations, flows, images, live pictures and keys of a project."""

from api.studio import flows, generations, images, keys, live, stale, uploads, verification

routes = [
    *generations.routes,
    *flows.routes,
    *uploads.routes,
    *images.routes,
    *verification.routes,
    *keys.routes,
    *live.routes,
    *stale.routes,
]
