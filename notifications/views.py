from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notifications.sms import reports


@csrf_exempt
@require_POST
def sms_report(request: HttpRequest, provider: str, secret: str) -> HttpResponse:
    if provider not in reports.PROVIDERS or not reports.is_secret(provider, secret):
        raise Http404
    try:
        deliveries = reports.read(provider, request.body)
    except reports.Malformed:
        return HttpResponse(status=400)
    reports.store(provider, deliveries)
    return JsonResponse(
        reports.PROVIDERS[provider].REPORT_REPLY,
        json_dumps_params={"ensure_ascii": False},
    )
