"""SMS: three ways in (our own, Tencent Cloud, Aliyun), one inbox for people.

The two clouds answer on ``POST /``, told apart by their headers, because both
signatures cover the path ``/``; Tencent's library of names does so too.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from sandbox import real_names, sms_templates, tencent_cloud
from sandbox.cloud_signatures import Refused, check_age, same_hex
from sandbox.faults import Seal, answered
from sandbox.keys import SMS_SIGN_NAME, TENCENT_SDK_APP_ID
from sandbox.pages import index
from sandbox.world import Call, Message, world

NAME = "sms"
SHOWN = 50

Json = dict[str, Any]


def urls() -> list[URLPattern]:
    return [
        path("", front),
        path("sms/", inbox, name="inbox"),
        path("sms/send/", send),
    ]


def front(request: HttpRequest) -> HttpResponse:
    """The front page for people, the two clouds' one address for machines."""
    if request.headers.get("X-TC-Action") == "IdCardVerification":
        return real_names.tencent(request)
    if "X-TC-Action" in request.headers:
        return tencent(request)
    if "x-acs-action" in request.headers:
        return aliyun(request)
    return index(request)


@require_safe
def inbox(request: HttpRequest) -> HttpResponse:
    """The last messages, newest first, optionally of one phone (``?to=``)."""
    to = str(request.GET.get("to", "")).strip()
    with world().lock:
        found = [m for m in reversed(world().messages) if to in m.to]
    rows = [
        {"message": message, "code": code_in(message), "parts": parts_of(message)}
        for message in found[:SHOWN]
    ]
    return render(
        request, "sandbox/inbox.html", {"rows": rows, "to": to, "count": len(found)}
    )


def code_in(message: Message) -> str:
    """The one-time code a person would look for: the first run of 4 to 8 digits."""
    found = re.search(r"(?<![\d.:-])\d{4,8}(?![\d.:-])", message.text)
    return found[0] if found and message.kind == "code" else ""


def parts_of(message: Message) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether it is an address to tap."""
    pieces = re.split(r"(https?://[!-~]+)", message.text)
    return [(piece, index % 2 == 1) for index, piece in enumerate(pieces)]


@require_POST
def send(request: HttpRequest) -> HttpResponse:
    """``{"to", "kind", "text", "id"}`` → ``{"id"}``: the sandbox's own provider."""

    def work() -> tuple[int, Json]:
        try:
            body = json.loads(request.body)
            to, kind, text, mark = (str(body[k]) for k in ("to", "kind", "text", "id"))
        except (KeyError, TypeError, ValueError):
            return 400, {"error": "to, kind, text and id are needed"}
        if not re.fullmatch(r"\+[1-9]\d{6,14}", to):
            return 400, {"error": "to is not E.164"}
        return 200, {"id": _keep("sandbox", to, kind, text, mark)}

    def refuse(code: str, status: int) -> tuple[int, Json]:
        return status, {"error": code}

    return _served("sandbox", work, refuse)


def tencent(request: HttpRequest) -> HttpResponse:
    """``SendSms`` 2021-01-11, JSON, TC3-HMAC-SHA256."""

    def work() -> tuple[int, Json]:
        try:
            tencent_cloud.check_signature(request, "sms")
            body = json.loads(request.body)
            if request.headers["X-TC-Action"] != "SendSms":
                raise Refused("InvalidAction", "no such action")
            if body.get("SmsSdkAppId") != TENCENT_SDK_APP_ID:
                raise Refused("UnauthorizedOperation.SdkAppIdIsDisabled", "SmsSdkAppId")
            statuses = [_tencent_status(body, str(to)) for to in body["PhoneNumberSet"]]
        except Refused as error:
            return refuse(error.code, 200)
        except (KeyError, TypeError, ValueError):
            return refuse("InvalidParameter", 200)
        return tencent_cloud.answer({"SendStatusSet": statuses})

    def refuse(code: str, status: int) -> tuple[int, Json]:
        return tencent_cloud.refusal(code, status)

    return _served("tencent", work, refuse)


def aliyun(request: HttpRequest) -> HttpResponse:
    """``SendSms`` 2017-05-25, parameters in the query, ACS3-HMAC-SHA256."""

    def work() -> tuple[int, Json]:
        try:
            _check_acs3(request)
            values = {name: str(value) for name, value in request.GET.items()}
            if request.headers["x-acs-action"] != "SendSms":
                raise Refused("InvalidAction.NotFound", "no such action")
            if values.get("SignName") != SMS_SIGN_NAME:
                raise Refused("isv.SMS_SIGNATURE_ILLEGAL", "SignName")
            try:
                given = json.loads(values.get("TemplateParam", "{}"))
            except ValueError as error:
                raise Refused("isv.INVALID_JSON_PARAM", "TemplateParam") from error
            kind, text = _filled(
                values.get("TemplateCode", ""), given, "isv.SMS_TEMPLATE_ILLEGAL"
            )
            to = _chinese(values.get("PhoneNumbers", ""), "isv.MOBILE_NUMBER_ILLEGAL")
        except Refused as error:
            return refuse(error.code, 200)
        mark = _keep("aliyun", to, kind, text, values.get("OutId", ""))
        return 200, {
            "Code": "OK",
            "Message": "OK",
            "BizId": f"{secrets.randbelow(10**18):018d}^0",
            "RequestId": mark,
        }

    def refuse(code: str, status: int) -> tuple[int, Json]:
        return status, {"Code": code, "Message": code, "RequestId": _mark()}

    return _served("aliyun", work, refuse)


def _served(
    provider: str,
    work: Callable[[], tuple[int, Json]],
    refuse: Callable[[str, int], tuple[int, Json]],
) -> HttpResponse:
    def send_json(answer: tuple[int, Json], _seal: Seal) -> HttpResponse:
        return JsonResponse(answer[1], status=answer[0])

    fault = world().faults.take(NAME, NAME)
    response = answered(world().faults, fault, work=work, refuse=refuse, send=send_json)
    outcome = fault.kind if fault else str(response.status_code)
    world().calls.append(Call(NAME, provider, "", outcome, world().now()))
    return response


def _keep(provider: str, to: str, kind: str, text: str, mark: str) -> str:
    """Put it into the inbox; ``mark`` is the shop's own id, repeated or not."""
    mark = mark or _mark()
    with world().lock:
        world().messages.append(Message(mark, to, kind, text, provider, world().now()))
    return mark


def _mark() -> str:
    return secrets.token_hex(16)


def _tencent_status(body: Json, to: str) -> Json:
    """One element of ``SendStatusSet``: one call can half fail."""
    code, context = "Ok", str(body.get("SessionContext", ""))
    try:
        if body.get("SignName") != SMS_SIGN_NAME:
            raise Refused("FailedOperation.SignatureIncorrectOrUnapproved", "SignName")
        given = [str(value) for value in body.get("TemplateParamSet") or []]
        kind, text = _filled(
            str(body.get("TemplateId", "")),
            given,
            "FailedOperation.TemplateUnapprovedOrNotExist",
        )
        phone = _chinese(to, "InvalidParameterValue.IncorrectPhoneNumber")
        _keep("tencent", phone, kind, text, context)
    except Refused as error:
        code = error.code
    return {
        "SerialNo": _mark() if code == "Ok" else "",
        "PhoneNumber": to,
        "Fee": 1 if code == "Ok" else 0,
        "SessionContext": context,
        "Code": code,
        "Message": "send success" if code == "Ok" else code,
        "IsoCode": "CN",
    }


def _filled(number: str, given: object, unknown: str) -> tuple[str, str]:
    """The kind and the full text of a template with its values, by name or in order."""
    found = sms_templates.by_number(number)
    if found is None:
        raise Refused(unknown, number)
    kind, template = found
    if isinstance(given, list):
        if len(given) != len(template.params):
            raise Refused("InvalidParameterValue.TemplateParameterFormatError", number)
        values = dict(zip(template.params, given, strict=True))
    elif isinstance(given, dict):
        values = {name: str(value) for name, value in given.items()}
        if not set(template.params) <= values.keys():
            raise Refused("isv.TEMPLATE_MISSING_PARAMETERS", number)
    else:
        raise Refused("isv.INVALID_JSON_PARAM", number)
    return kind, f"【{SMS_SIGN_NAME}】" + template.text.format_map(values)


def _chinese(phone: str, wrong: str) -> str:
    """E.164 of a mainland mobile number, with or without its country code."""
    found = re.fullmatch(r"(?:\+?86)?(1[3-9]\d{9})", phone)
    if found is None:
        raise Refused(wrong, phone)
    return f"+86{found[1]}"


def _check_acs3(request: HttpRequest) -> None:
    keys = world().keys
    wrong = partial(Refused, "SignatureDoesNotMatch")
    found = re.fullmatch(
        r"ACS3-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([a-z0-9;-]+),"
        r" ?Signature=([0-9a-f]{64})",
        request.headers.get("Authorization", ""),
    )
    if found is None:
        raise wrong("Authorization")
    access_key, names, signature = found.groups()
    if access_key != keys.aliyun_access_key_id:
        raise Refused("InvalidAccessKeyId.NotFound", "AccessKeyId")
    needed = {"host", "x-acs-action", "x-acs-version", "x-acs-date"}
    needed |= {"x-acs-signature-nonce", "x-acs-content-sha256"}
    body_hash = hashlib.sha256(request.body).hexdigest()
    if not needed <= set(names.split(";")):
        raise wrong("SignedHeaders")
    if request.headers.get("x-acs-content-sha256") != body_hash:
        raise wrong("x-acs-content-sha256")
    try:
        date = datetime.fromisoformat(request.headers["x-acs-date"])
    except (KeyError, ValueError) as error:
        raise wrong("x-acs-date") from error
    check_age("aliyun", int(date.timestamp()), "InvalidTimeStamp.Expired")
    pairs = parse_qsl(request.META["QUERY_STRING"], keep_blank_values=True)
    canonical = "\n".join(
        (
            "POST",
            "/",
            "&".join(
                f"{quote(name, safe='~')}={quote(value, safe='~')}"
                for name, value in sorted(pairs)
            ),
            *(f"{name}:{request.headers[name].strip()}" for name in names.split(";")),
            "",
            names,
            body_hash,
        )
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    secret = keys.aliyun_access_key_secret.encode()
    if not same_hex(secret, f"ACS3-HMAC-SHA256\n{digest}", signature):
        raise wrong("Signature")
