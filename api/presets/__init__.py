"""The presets dialect: stored settings, pictures made with them, and how far those are."""

from api.presets import generations, stored

routes = [*stored.routes, *generations.routes]
