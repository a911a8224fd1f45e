#!/usr/bin/env python3
"""Holds the pictures of `tandem plan --svg` against its JSON, with Python's own XML parser.

usage: check_svg.py TANDEM
Bars must be as long as their bytes, touch and not overlap; layers must have the colours of their devices; points
of charts must lie where their values are; nothing may leave the picture.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"
TANDEM = sys.argv[1]
GPU, CPU = "#332288", "#DDCC77"
checks = 0


def check(condition, *what):
    global checks
    checks += 1
    if not condition:
        sys.exit("check_svg: " + " ".join(str(part) for part in what))


def near(a, b, tolerance=0.02):
    return abs(a - b) <= tolerance


def picture(*arguments):
    """The parsed SVG and JSON of one question."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "picture.svg")
        run = subprocess.run([TANDEM, "plan", *arguments, "--json", "--svg", str(path)], capture_output=True, text=True)
        check(run.returncode in (0, 2), arguments, run.stderr)
        return ET.parse(path).getroot(), json.loads(run.stdout)


def rectangles(root):
    """(x, y, width, height, fill, tip) of each, without the background."""
    found = []
    for rect in root.iter(SVG + "rect"):
        tip = rect.find(SVG + "title")
        numbers = [float(rect.get(key)) for key in ("x", "y", "width", "height")]
        found.append((*numbers, rect.get("fill"), "" if tip is None else tip.text))
    return found[1:]


def check_inside(root):
    width, height = float(root.get("width")), float(root.get("height"))
    for x, y, w, h, _, tip in rectangles(root):
        check(x >= 0 and y >= 0 and x + w <= width + 0.02 and y + h <= height + 0.02, "outside:", tip)
    for text in root.iter(SVG + "text"):
        letters = 0.68 * float(text.get("font-size")) * len(text.text)
        before = {"start": 0, "middle": letters / 2, "end": letters}[text.get("text-anchor")]
        x, y = float(text.get("x")), float(text.get("y"))
        check(x - before >= -1 and x - before + letters <= width + 14, "text leaves the picture:", text.text)
        check(0 < y < height, "text leaves the picture:", text.text)


def check_bars(root, plan):
    bars = {}
    for x, y, width, height, _, tip in rectangles(root):
        name, _, rest = tip.partition(": ")
        if height == 40:
            bars.setdefault(y, []).append((x, width, name, int(rest.split()[0].replace(",", "")) if rest else 0))
    devices = [d for d in ("cuda0", "emulated0", "cpu") if any(a["device"] == d for a in plan["arenas"])]
    check(len(bars) == len(devices), "bars", len(bars), devices)
    for (_, parts), device in zip(sorted(bars.items()), devices):
        side = "ram_bytes" if device == "cpu" else "vram_bytes"
        whole = max(plan["budget"][side], plan["totals"][side])
        length = parts[0][1]
        expected = {a["purpose"]: a["bytes"] for a in plan["arenas"] if a["device"] == device}
        check({name: size for _, _, name, size in parts[1:]} == expected, device, "has other parts than its plan")
        end = parts[0][0]
        for x, width, name, size in parts[1:]:
            check(near(x, end), device, name, "does not begin where the part before it ends")
            check(near(width, size / whole * length), device, name, "is", width, "pixels for", size, "bytes")
            end = x + width
        check(end <= parts[0][0] + length + 0.1, device, "is longer than its bar")


def check_strip(root, plan):
    devices = {}
    for *_, fill, tip in rectangles(root):
        if tip.startswith("layer ") and (" attention on " in tip or " FFN on " in tip):
            number = int(tip.split(",")[0].split()[1])
            half, device = tip.split(": ")[1].split(" on ")
            devices[number, half] = (device, fill)
    check(len(devices) == 2 * len(plan["layers"]), "halves", len(devices))
    for layer in plan["layers"]:
        for half, key in (("attention", "attention_device"), ("FFN", "ffn_device")):
            device, fill = devices[layer["index"], half]
            check(device == layer[key] and fill == (CPU if device == "cpu" else GPU), "layer", layer["index"], half)


def check_chart(root, answers):
    """Every point of the decode chart: y is the speed on the axis' scale, x rises."""
    lines = [line for line in root.iter(SVG + "polyline") if line.get("stroke-width") == "2.00" and
             len(line.get("points").split()) == len(answers[0]["rows"])]
    check(len(lines) >= len(answers), "lines", len(lines))
    zero = min((float(line.get("points").split(",")[1].split()[0]) for line in root.iter(SVG + "polyline")
                if line.get("stroke") == "#444444"))
    for line, answer in zip(lines, answers):
        points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        check(all(a[0] < b[0] for a, b in zip(points, points[1:])), "points do not rise in x")
        speeds = [row["plan"]["decode_tok_per_s"] for row in answer["rows"]]
        scale = max((zero - y) / speed for (_, y), speed in zip(points, speeds))
        for (_, y), speed in zip(points, speeds):
            check(near((zero - y), speed * scale, 0.05), "point", y, "for", speed)


M27, M12 = "catalogue:gemma3-27b-qat-q4_0", "catalogue:gemma4-12b-qat-q4_0"
for arguments in ([M27], [M12, "--context", "262144", "--sequences", "1"], [M27, "--devices", "cpu", "--ram", "9GB"],
                  [M27, "--vram", "100MB"], [M12, "--devices", "emulated", "--vram", "6GiB"],
                  [M27, "--ram", "1GB", "--context", "128k"]):
    root, plan = picture(*arguments)
    check_inside(root)
    check_bars(root, plan)
    check_strip(root, plan)
for arguments in ([M27, "--sweep", "vram=4GiB:24GiB:2GiB"], [M27, M12, "--sweep", "context=4k:256k:x2"],
                  [M27, "--sweep", "context=1:2147483647:2147483646"], [M12, "--sweep", "sequences=1:9:1", "--vram", "8GiB"]):
    root, document = picture(*arguments)
    check_inside(root)
    check_chart(root, document["answers"])
print(f"{checks} checks hold")
