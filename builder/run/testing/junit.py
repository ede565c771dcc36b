"""JUnit's XML, as CI systems read it: a suite for each file, a case for each block. Pure."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from builder.run.testing.results import Block, FileResult, without_debug

_LOG = 400  # lines of a failed block's error log
# Characters that XML 1.0 does not take (section 2.2, "Char").
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(results: Sequence[FileResult]) -> bytes:
    """The whole document."""
    top = ET.Element("testsuites", _totals(results))
    for each in results:
        top.append(_suite(each))
    ET.indent(top)
    return bytes(ET.tostring(top, encoding="utf-8", xml_declaration=True)) + b"\n"


def _totals(results: Sequence[FileResult]) -> dict[str, str]:
    blocks = [block for each in results for block in each.blocks]
    return {
        "tests": str(len(blocks) + sum(bool(each.trouble or each.skipped) for each in results)),
        "failures": str(sum(bool(block.failures) for block in blocks)),
        "errors": str(
            sum(block.unfinished and not block.failures for block in blocks)
            + sum(bool(each.trouble) for each in results)
        ),
        "skipped": str(sum(bool(block.skipped) for block in blocks) + sum(bool(each.skipped) for each in results)),
        "time": f"{sum(each.seconds for each in results):.3f}",
    }


def _suite(result: FileResult) -> ET.Element:
    suite = ET.Element("testsuite", {"name": _clean(result.name), **_totals([result])})
    for block in result.blocks:
        suite.append(_case(result.name, block))
    if result.trouble:
        case = _empty(result.name, "the file as a whole", result.seconds)
        _add(case, "error", result.trouble, "\n".join(result.tail))
        suite.append(case)
    if result.skipped:
        case = _empty(result.name, "the file as a whole", result.seconds)
        _add(case, "skipped", result.skipped, "")
        suite.append(case)
    return suite


def _case(name: str, block: Block) -> ET.Element:
    case = _empty(name, block.title, block.seconds)
    if block.failures:
        text = "\n".join("\n".join((each.what, *each.details)) for each in block.failures)
        more = f", and {len(block.failures) - 1} more" if len(block.failures) > 1 else ""
        _add(case, "failure", block.failures[0].what + more, text)
    elif block.unfinished:
        _add(case, "error", "the file ended before this block did", "")
    elif block.skipped:
        _add(case, "skipped", block.skipped, "")
    if block.log:
        ET.SubElement(case, "system-err").text = _clean("\n".join(without_debug(block.log)[-_LOG:]))
    return case


def _empty(name: str, title: str, seconds: float) -> ET.Element:
    return ET.Element("testcase", {"classname": _clean(name), "name": _clean(title), "time": f"{seconds:.3f}"})


def _add(case: ET.Element, kind: str, message: str, text: str) -> None:
    ET.SubElement(case, kind, {"message": _clean(message)}).text = _clean(text) or None


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
