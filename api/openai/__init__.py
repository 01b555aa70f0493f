"""OpenAI's Images API, for clients that are written for that: models, pictures, edits."""

from api.openai import edits, files, generations, models

routes = [*generations.routes, *edits.routes, *files.routes, *models.routes]
