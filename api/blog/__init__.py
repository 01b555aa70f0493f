"""The blog dialect: jobs, and batches of them."""

from api.blog import batches, jobs

routes = [*jobs.routes, *batches.routes]
