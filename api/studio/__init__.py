"""The studio dialect: generations, flows, images, live pictures and keys of a project."""

from api.studio import flows, generations, images, keys, live

routes = [*generations.routes, *flows.routes, *images.routes, *keys.routes, *live.routes]
