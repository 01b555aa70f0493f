"""The studio dialect: generations, flows, images, live pictures and keys of a project."""

from starlette.routing import Route

routes: list[Route] = []
