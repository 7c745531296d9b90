r"""Detectors: what secrets and personal data look like.

A pattern is RE2's and is matched in linear time, whatever the text. What it finds is its group, if it has one; a check may
refuse it, or take a part of it. Where a pattern begins with `_START`, that is where a word begins: also behind an escape (`\n`,
`\u003d`, `%20`), so that texts within texts need not be decoded first.

Forms are those of the standards: RFC 6750 and RFC 7617 (bearer, basic), RFC 7468 (PEM), RFC 7519 (JWT), ISO/IEC 7812 (cards),
ISO 13616 (IBAN), ITU-T E.164 (phone numbers). Tokens have the prefixes that their vendors give them so that they can be found.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from nat.observability.redaction import checks

__all__ = ["DETECTORS", "PERSONAL_NAME", "SECRET_NAME", "WEAK_SECRET_NAME", "Detector", "Profile"]

Profile = Literal["secrets", "pii", "own"]

Check = Callable[[bytes, bytes], "checks.Part | None"]

_ESCAPE = r"\\[abfnrtv0]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}"
_START = rf"(?:\A|[^0-9A-Za-z]|{_ESCAPE})"
_NUMBER = rf"(?:\A|[^0-9A-Za-z.+-]|[^0-9]\.|{_ESCAPE})"  # where one begins, not the end of another
_NUMBER_END = r"(?:[^0-9A-Za-z-]|\z)"
_SLASH = r"\\*/"
_SPACE = r"(?:\s|\\+[nrt]|%20|\+)"
_LETTER = r"0-9A-Za-z\x80-\xff"  # in a class: with the bytes of characters beyond ASCII
_END = r"(?:[^0-9A-Za-z.]|\.(?:[^0-9]|\z)|\z)"
_PAIR = r"[^\s=;,\"'\\]{1,100}=[^\s;,\"'\\]*"
_QUOTE = r"""\\*["']"""

_WORDS = (
    r"pass(?:word|wd|phrase|code)s?|pwd|secrets?|api[_-]?keys?|(?:access|secret|private|account|encryption|signing|master|service|"
    r"license|subscription|sharedaccess|storage|deploy|ssh)[_-]?keys?|(?:access|auth|authentication|refresh|id|session|bearer|bot|"
    r"csrf|xsrf|client|personal|api|oauth2?|security|sas|deploy|service|user|device|push|github|gitlab|slack|hf|npm|jwt|app|secret|"
    r"private|login|webhook|verification|reset)[_-]?token|credentials?|connection[_-]?strings?"
)
_NAME = rf"(?:{_WORDS})(?:[_-][0-9A-Za-z_-]*|[0-9]*)"
SECRET_NAME = rf"(?i)(?:{_NAME}|(?:proxy-)?authorization|(?:set-?)?cookies?|x-auth[a-z-]*)"
"""Ends like this: the name of a setting or header that holds a secret."""
WEAK_SECRET_NAME = r"(?i)(?:token|jwt|auth)"
"""So is a name that holds one if the value looks like that."""
PERSONAL_NAME = (
    r"(?i)(?:\A|[^a-z])(?:ssn|social[_-]?security(?:[_-]?number)?|passport(?:[_-]?(?:number|no))?|cvv2?|cvc2?|card[_-]?number|credit[_-]?card|"
    r"iban|e?mail(?:[_-]?address)?|phone(?:[_-]?number)?|mobile(?:[_-]?number)?|date[_-]?of[_-]?birth|birth[_-]?date|dob)"
)
"""Ends like this: the name of a field that holds personal data."""


class Detector(NamedTuple):
    """One kind of secret or personal data.

    Attributes:
        name: As it is shown in place of what was found, and written in `without`.
        profile: Which profile it belongs to; `pii` includes `secrets`, and `own` is what a user has written.
        pattern: What it looks like, in RE2's syntax; what is redacted is its group, or all of it if it has none: faster.
        check: Says which part of it is one, `None` if it is not.
        is_prose: Whether ordinary text matches often: what is found is checked before a text is taken apart for it. A match
            never goes beyond a line.
    """

    name: str
    profile: Profile
    pattern: str
    check: Check | None = None
    is_prose: bool = False


def _token(name: str, *forms: str, starts_word: bool = False, check: Check | None = None) -> Detector:
    """A detector of tokens that begin like nothing else, or like no other word."""
    return Detector(name, "secrets", f"{_START}({'|'.join(forms)})" if starts_word else "|".join(forms), check)


_TOKENS = (
    _token(
        "api_key", r"sk-[0-9A-Za-z_-]{16,}", check=checks.random_looking
    ),  # OpenAI, Anthropic, OpenRouter, Langfuse …
    _token("stripe_key", r"[rs]k_(?:live|test|prod)_[0-9A-Za-z]{10,}", r"whsec_[0-9A-Za-z+/]{20,}"),
    _token("github_token", r"gh[pousr]_[0-9A-Za-z]{30,}", r"github_pat_[0-9A-Za-z_]{22,}"),
    _token("gitlab_token", r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas|soat|ffct)-[0-9A-Za-z_-]{20,}"),
    _token("slack_token", r"xox[a-z](?:\.xox[a-z])?-[0-9A-Za-z-]{10,}", r"xapp-[0-9A-Za-z-]{20,}"),
    _token("aws_access_key", r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}", starts_word=True),
    _token(
        "google_key",
        r"AIza[0-9A-Za-z_-]{30,}",
        r"ya29\.[0-9A-Za-z_-]{20,}",
        r"GOCSPX-[0-9A-Za-z_-]{20,}",
        r"1//0[0-9A-Za-z_-]{30,}",
    ),
    _token("azure_secret", r"[0-9A-Za-z_~.]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34}", starts_word=True),
    _token("huggingface_token", r"(?:hf|api_org)_[0-9A-Za-z]{30,}", starts_word=True),
    _token("npm_token", r"npm_[0-9A-Za-z]{30,}"),
    _token("pypi_token", r"pypi-[0-9A-Za-z_-]{40,}"),
    _token("rubygems_key", r"rubygems_[0-9a-f]{48}"),
    _token("sendgrid_key", r"SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}", starts_word=True),
    _token("mailgun_key", r"key-[0-9a-f]{32}", starts_word=True),
    _token("twilio_key", r"SK[0-9a-f]{32}", starts_word=True),
    _token("digitalocean_token", r"do[opr]_v1_[0-9a-f]{40,}"),
    _token("shopify_token", r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}"),
    _token("square_token", r"sq0[a-z]{3}-[0-9A-Za-z_-]{22,}", r"EAAA[0-9A-Za-z_-]{56,}", starts_word=True),
    _token("linear_key", r"lin_(?:api|oauth)_[0-9A-Za-z]{32,}"),
    _token("notion_token", r"(?:ntn|secret)_[0-9A-Za-z]{40,}"),
    _token("groq_key", r"gsk_[0-9A-Za-z]{30,}"),
    _token("xai_key", r"xai-[0-9A-Za-z]{30,}"),
    _token("replicate_token", r"r8_[0-9A-Za-z]{30,}", starts_word=True),
    _token("pinecone_key", r"pcsk_[0-9A-Za-z_]{30,}"),
    _token("nvidia_key", r"nvapi-[0-9A-Za-z_-]{30,}"),
    _token("tavily_key", r"tvly-[0-9A-Za-z_-]{20,}", check=checks.random_looking),
    _token("perplexity_key", r"pplx-[0-9A-Za-z]{30,}"),
    _token("langsmith_key", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}", r"ls__[0-9A-Za-z]{30,}"),
    _token("wandb_key", r"wandb_v1_[0-9A-Za-z_-]{30,}"),
    _token("fireworks_key", r"fw_[0-9A-Za-z]{20,}", starts_word=True, check=checks.random_looking),
    _token("cerebras_key", r"csk-[0-9a-z]{30,}", starts_word=True),
    _token("together_key", r"tgp_v1_[0-9A-Za-z_-]{30,}"),
    _token("voyage_key", r"pa-[0-9A-Za-z_-]{40,}", starts_word=True, check=checks.random_looking),
    _token("e2b_key", r"e2b_[0-9a-f]{40}", starts_word=True),
    _token("resend_key", r"re_[0-9A-Za-z]{8}_[0-9A-Za-z]{24}", starts_word=True),
    _token("databricks_token", r"dapi[0-9a-f]{32}(?:-[0-9])?", starts_word=True),
    _token("vault_token", r"hv[sbr]\.[0-9A-Za-z_-]{24,}"),
    _token("doppler_token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[0-9a-z_-]+\.)?[0-9A-Za-z]{40,}"),
    _token("terraform_token", r"[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_=-]{60,}", starts_word=True),
    _token("figma_token", r"fig[dou]_[0-9A-Za-z_-]{30,}"),
    _token("postman_key", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    _token("newrelic_key", r"NRAK-[0-9A-Z]{27}"),
    _token("grafana_token", r"gl(?:sa|c)_[0-9A-Za-z_+/=-]{32,}"),
    _token("planetscale_token", r"pscale_(?:tkn|pw|oauth)_[0-9A-Za-z_.-]{32,}"),
    _token("supabase_key", r"sbp_[0-9a-f]{40}", r"sb_secret_[0-9A-Za-z_-]{20,}"),
    _token("fly_token", r"(?:fo1|fm[12][a-z]?)_[0-9A-Za-z_+/=-]{40,}", starts_word=True),
    _token("docker_token", r"dckr_(?:pat|oat)_[0-9A-Za-z_-]{20,}"),
    _token("atlassian_token", r"AT(?:ATT|CTT)3[0-9A-Za-z_=-]{50,}", r"ATBB[0-9A-Za-z]{32}"),
    _token("telegram_token", r"[0-9]{8,10}:AA[0-9A-Za-z_-]{33}", starts_word=True),
    _token("age_key", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _token("sentry_token", r"sntry[su]_[0-9A-Za-z+/=_-]{40,}"),
    _token("airtable_token", r"pat[0-9A-Za-z]{14}\.[0-9a-f]{64}", starts_word=True),
    _token("heroku_key", r"HRKU-[0-9A-Za-z_-]{36,}"),
    _token("jwt", r"eyJ[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*){2,4}", r"ops_eyJ[0-9A-Za-z_-]{40,}"),
)
_FORMS = (
    Detector(
        "webhook",
        "secrets",
        rf"(hooks\.slack\.com{_SLASH}(?:services|workflows|triggers){_SLASH}[0-9A-Za-z/_\\-]{{20,}}|"
        rf"discord(?:app)?\.com{_SLASH}api{_SLASH}webhooks{_SLASH}[0-9]+{_SLASH}[0-9A-Za-z_-]{{30,}})",
    ),
    Detector(
        "private_key",
        "secrets",
        r"(?s)-----BEGIN [0-9A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:.*?-----END [0-9A-Z ]*PRIVATE KEY(?: BLOCK)?-----|.*)",
    ),
    Detector(
        "bearer", "secrets", rf"(?i)bearer{_SPACE}+([0-9A-Za-z._~+/=-]{{8,}})", checks.random_looking, is_prose=True
    ),
    Detector("basic", "secrets", rf"(?i)basic{_SPACE}+([0-9A-Za-z+/]{{6,}}=*)", checks.base64_pair, is_prose=True),
    Detector(
        "authorization",
        "secrets",
        rf"(?i)authorization(?:{_QUOTE})?{_SPACE}*[:=]{_SPACE}*(?:{_QUOTE})?(?:[a-z]+{_SPACE})?([^\s\"'\\,]{{8,}})",
        checks.random_looking,
    ),
    Detector(
        "cookie",
        "secrets",
        rf"(?i)cookie(?:{_QUOTE})?{_SPACE}*[:=]{_SPACE}*(?:{_QUOTE})?({_PAIR}(?:;{_SPACE}*(?:{_PAIR}|[a-z]+))*)",
        checks.not_a_placeholder,
    ),
    Detector("credentials", "secrets", rf":{_SLASH}{_SLASH}([^\s\"'<>/\\]+)@", checks.user_info),
    Detector(
        "url_secret",
        "secrets",
        rf"(?i)[?&;](?:amp;)?(?:{_NAME}|token|key|code|sig|signature|x-amz-(?:signature|credential|security-token))"
        r"=([^&\s\"'<>\\#;]{6,})",
        checks.random_looking,
    ),
    Detector(
        "secret",
        "secrets",
        rf"(?i){_NAME}(?:{_QUOTE})?\s*(?:=>|:=|[:=])\s*{_QUOTE}((?:[^\"'\\]|\\+[^\"'\\])+)",
        checks.not_a_placeholder,
    ),
    Detector(
        "secret",
        "secrets",
        rf"(?i){_NAME}(?:{_QUOTE})?(?:=>|:=|[:=]|\s+=\s+|:\s+)([^\s\"'\\,;&<>(){{}}\[\]]{{6,}})",
        checks.weakly_assigned,
    ),
    Detector(
        "azure_secret", "secrets", r"(?i)(?:accountkey|sharedaccesskey|sharedaccesssignature)=([0-9A-Za-z+/%=_-]{16,})"
    ),
)
_PERSONAL = (
    Detector("email", "pii", rf"([._%+'{_LETTER}-]+@(?:[{_LETTER}-]+\.)+[{_LETTER}][{_LETTER}-]+)"),
    Detector("phone", "pii", r"(\+[0-9]{1,3}(?:[ ()./-]{0,2}[0-9]){6,13})", checks.phone),
    Detector("phone", "pii", rf"(\([0-9]{{3}}\) ?[0-9]{{3}}[ .-][0-9]{{4}}){_NUMBER_END}", checks.phone),
    Detector(
        "phone", "pii", rf"{_NUMBER}((?:1[ .-])?[0-9]{{3}}[ .-][0-9]{{3}}[ .-][0-9]{{4}}){_NUMBER_END}", checks.phone
    ),
    Detector("phone", "pii", rf"{_NUMBER}(0[0-9]{{1,4}}[ /-](?:[0-9][ -]?){{5,9}}[0-9]){_NUMBER_END}", checks.phone),
    Detector("credit_card", "pii", rf"{_NUMBER}([0-9]{{12,19}}|[0-9]{{4}}(?:[ -][0-9]{{3,7}}){{2,5}})", checks.card),
    Detector("iban", "pii", rf"{_START}([A-Z]{{2}}[0-9]{{2}}(?:[ -]?[0-9A-Za-z]){{11,40}})", checks.iban),
    Detector("ip", "pii", rf"{_NUMBER}((?:[0-9]{{1,3}}\.){{3}}[0-9]{{1,3}}){_END}", checks.ip_address),
    Detector("ip", "pii", rf"{_START}([0-9A-Fa-f]{{2,4}}(?::[0-9A-Fa-f]{{0,4}}){{2,7}})", checks.ip_address),
)
DETECTORS = (*_TOKENS, *_FORMS, *_PERSONAL)
"""All of them, in the order in which they count where findings overlap."""
