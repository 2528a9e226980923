"""A small Django project in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

if TYPE_CHECKING:
    from django.http import HttpRequest

settings.configure(
    SECRET_KEY="only for tests",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    LOGGING_CONFIG=None,
)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"django at {request.META['SCRIPT_NAME'] or '/'}")


def form(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"name": request.POST["name"]})


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse((f"{number} " for number in range(3)), content_type="text/plain")


urlpatterns = [path("", page), path("form", form), path("stream", stream)]

application = get_wsgi_application()
