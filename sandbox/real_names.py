"""The library of names: the sandbox's own door, and Tencent Cloud's FaceID.

Everybody is who she says she is, but for three names that play the other answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from sandbox import tencent_cloud
from sandbox.cloud_signatures import Refused
from sandbox.faults import Seal, answered
from sandbox.world import Call, world

NAME = "real-name"
PLAYED = {"不一致": "mismatch", "查无此人": "not_found", "系统繁忙": "busy"}
"""Names that stand for an answer."""

_CODES = {
    "match": ("0", "姓名和身份证号一致"),
    "mismatch": ("-1", "姓名和身份证号不一致"),
    "bad_number": ("-2", "非法身份证号"),
    "bad_name": ("-3", "非法姓名"),
    "busy": ("-4", "证件库服务异常"),
    "not_found": ("-5", "证件库中无此身份证记录"),
}

Json = dict[str, Any]


def urls() -> list[URLPattern]:
    return [path("real-name/check/", check)]


@require_POST
def check(request: HttpRequest) -> HttpResponse:
    """``{"name", "id_number"}`` → ``{"result"}``."""

    def work() -> tuple[int, Json]:
        try:
            body = json.loads(request.body)
            name, number = str(body["name"]), str(body["id_number"])
        except (KeyError, TypeError, ValueError):
            return 400, {"error": "name and id_number are needed"}
        result = _looked_up(name, number)
        return 200, {"result": "mismatch" if result.startswith("bad_") else result}

    return _served("sandbox", work, lambda code, status: (status, {"error": code}))


def tencent(request: HttpRequest) -> HttpResponse:
    """``IdCardVerification`` 2018-03-01, JSON, TC3-HMAC-SHA256."""

    def work() -> tuple[int, Json]:
        try:
            tencent_cloud.check_signature(request, "faceid")
            if request.headers.get("X-TC-Version") != "2018-03-01":
                raise Refused("NoSuchVersion", "X-TC-Version")
            body = json.loads(request.body)
            name, number = str(body["Name"]), str(body["IdCard"])
        except Refused as error:
            return refuse(error.code, 200)
        except (KeyError, TypeError, ValueError):
            return refuse("InvalidParameter", 200)
        code, words = _CODES[_looked_up(name, number)]
        return tencent_cloud.answer({"Result": code, "Description": words})

    def refuse(code: str, status: int) -> tuple[int, Json]:
        return tencent_cloud.refusal(code, status)

    return _served("tencent", work, refuse)


def _served(
    door: str,
    work: Callable[[], tuple[int, Json]],
    refuse: Callable[[str, int], tuple[int, Json]],
) -> HttpResponse:
    """What was asked is not kept: the list of calls holds the door and the outcome."""

    def send_json(answer: tuple[int, Json], _seal: Seal) -> HttpResponse:
        return JsonResponse(answer[1], status=answer[0])

    fault = world().faults.take(NAME, NAME)
    response = answered(world().faults, fault, work=work, refuse=refuse, send=send_json)
    outcome = fault.kind if fault else str(response.status_code)
    world().calls.append(Call(NAME, door, "", outcome, world().now()))
    return response


def _looked_up(name: str, number: str) -> str:
    if not name or len(name) > 40:
        return "bad_name"
    if not _may_exist(number):
        return "bad_number"
    return PLAYED.get(name, "match")


def _may_exist(number: str) -> bool:
    """ISO 7064 MOD 11-2 over all 18 places comes to 1; the day of birth was one."""
    if len(number) != 18 or not (number.isascii() and number[:17].isdigit()):
        return False
    if number[17] not in "0123456789X":
        return False
    remainder = 0
    for place in number:
        remainder = (remainder * 2 + (10 if place == "X" else int(place))) % 11
    try:
        date.fromisoformat(f"{number[6:10]}-{number[10:12]}-{number[12:14]}")
    except ValueError:
        return False
    return remainder == 1
