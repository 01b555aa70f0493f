"""The recipes dialect: pictures of dishes and of the steps that lead to them."""

from api.recipes import forwarding, jobs, submits

routes = [*submits.routes, *jobs.routes]
forwarded = [forwarding.forwarded(route) for route in routes]
