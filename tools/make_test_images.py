#!/usr/bin/python3
"""Makes tests/images/ and its manifest: small pictures of every kind, and what Pillow makes of them.

    tools/make_test_images.py                      pictures and tests/images/manifest.json
    tools/make_test_images.py --photographs DIR    tests/images/photographs.json only: the hashes of
                                                   pictures that are not part of the repository

Needs Debian 12's python3-pil (Pillow 9.4, libjpeg-turbo 2.1.5, libwebp 1.2.4): the same decoders.
The committed files are the reference; running this again is only for adding to them.
"""
import argparse
import hashlib
import io
import json
import pathlib
import random
import struct
import zlib

from PIL import Image, ImageOps

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "images"
SIZES = [(112, 112), (17, 5)]
MANY_SIZES = [(1, 1), (2, 3), (1, 200), (200, 1), (33, 25), (34, 25), (33, 26), (32, 25), (33, 24),
              (66, 50), (67, 49), (16, 12), (11, 9), (301, 7), (7, 301), (112, 112), (336, 335)]


def sha256(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def scene(width, height, channels, seed):
    """Smooth shapes, hard edges and a little noise, so that every decoder stage matters."""
    rng = random.Random(seed)
    out = bytearray()
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                value = 255 * (x * (c + 1) + y * (3 - c)) // (width * 3 + height * 3)
                if (x // 5 + y // 4) % 3 == c % 3:
                    value = 255 - value
                if rng.random() < 0.1:
                    value = rng.randrange(256)
                out.append(max(0, min(255, value)))
    return bytes(out)


def picture(mode, width, height, seed):
    return Image.frombytes(mode, (width, height), scene(width, height, len(mode), seed))


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_row(samples, depth):
    if depth == 16:
        return b"".join(struct.pack(">H", s) for s in samples)
    bits = "".join(format(s, "0%db" % depth) for s in samples)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def png(width, height, depth, colour, extra=b"", interlaced=False, max_sample=None):
    """A PNG of random samples in any colour type, with filter types in turn."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    rng = random.Random(depth * 10 + colour)
    top = (1 << depth) - 1 if max_sample is None else max_sample
    pixels = [[[rng.randint(0, top) for _ in range(channels)] for _ in range(width)]
              for _ in range(height)]
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                  (1, 0, 2, 2), (0, 1, 1, 2)]
    step = max(1, channels * depth // 8)
    raw = bytearray()
    for x0, y0, dx, dy in passes:
        previous = None
        for number, y in enumerate(range(y0, height, dy)):
            samples = [s for x in range(x0, width, dx) for s in pixels[y][x]]
            if not samples:
                break
            row = pack_row(samples, depth)
            above = previous or bytes(len(row))
            kind = number % 5
            raw.append(kind)
            for i, value in enumerate(row):
                a = row[i - step] if i >= step else 0
                b = above[i]
                c = above[i - step] if i >= step else 0
                p = a + b - c
                paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
                raw.append((value - [0, a, b, (a + b) // 2, paeth][kind]) & 255)
            previous = row
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra +
            chunk(b"IDAT", zlib.compress(bytes(raw), 9)) + chunk(b"IEND", b""))


def palette(entries, seed):
    rng = random.Random(seed)
    return chunk(b"PLTE", bytes(rng.randrange(256) for _ in range(entries * 3)))


def exif(orientation, big_endian, count_before=1):
    order = ">" if big_endian else "<"
    entries = b"".join(struct.pack(order + "HHIHH", 0x0100 + i, 3, 1, 7, 0)
                       for i in range(count_before))
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return ((b"MM" if big_endian else b"II") + struct.pack(order + "HI", 42, 8) +
            struct.pack(order + "H", count_before + 1) + entries + struct.pack(order + "I", 0))


def pngs():
    yield "png_g1.png", png(13, 9, 1, 0)
    yield "png_g2.png", png(13, 9, 2, 0)
    yield "png_g4.png", png(13, 9, 4, 0)
    yield "png_g8.png", png(13, 9, 8, 0)
    yield "png_g16.png", png(13, 9, 16, 0)
    yield "png_g16_dark.png", png(13, 9, 16, 0, max_sample=400)
    yield "png_g8_trns.png", png(13, 9, 8, 0, chunk(b"tRNS", b"\0\x40"))
    yield "png_rgb8.png", png(13, 9, 8, 2)
    yield "png_rgb16.png", png(13, 9, 16, 2)
    yield "png_rgb8_trns.png", png(13, 9, 8, 2, chunk(b"tRNS", b"\0\1\0\2\0\3"))
    yield "png_rgb8_gamma.png", png(13, 9, 8, 2, chunk(b"gAMA", struct.pack(">I", 100000)))
    yield "png_p1.png", png(13, 9, 1, 3, palette(2, 1))
    yield "png_p2.png", png(13, 9, 2, 3, palette(4, 2))
    yield "png_p4.png", png(13, 9, 4, 3, palette(16, 3))
    yield "png_p8.png", png(13, 9, 8, 3, palette(256, 4))
    yield "png_p8_trns.png", png(13, 9, 8, 3, palette(256, 5) + chunk(b"tRNS", bytes(range(200))))
    yield "png_p8_short.png", png(13, 9, 8, 3, palette(7, 6))
    yield "png_p4_short.png", png(13, 9, 4, 3, palette(3, 7))
    yield "png_ga8.png", png(13, 9, 8, 4)
    yield "png_ga16.png", png(13, 9, 16, 4)
    yield "png_rgba8.png", png(13, 9, 8, 6)
    yield "png_rgba16.png", png(13, 9, 16, 6)
    for name, depth, colour, extra in [("g1", 1, 0, b""), ("g8", 8, 0, b""), ("g16", 16, 0, b""),
                                       ("rgb8", 8, 2, b""), ("rgba16", 16, 6, b""),
                                       ("p2", 2, 3, palette(4, 8))]:
        yield "png_%s_interlaced.png" % name, png(21, 19, depth, colour, extra, True)
    yield "png_1x1_interlaced.png", png(1, 1, 8, 2, b"", True)
    yield "png_1x40.png", png(1, 40, 8, 2)
    yield "png_40x1.png", png(40, 1, 8, 6)
    yield "png_exif_6.png", png(6, 4, 8, 2, chunk(b"eXIf", exif(6, True)))
    rgb = picture("RGB", 33, 25, 9)
    yield "png_resize.png", saved(rgb, "PNG")


def jpegs():
    rgb = picture("RGB", 33, 25, 1)
    cmyk = saved(picture("CMYK", 33, 25, 2), "JPEG", quality=90)
    for subsampling, name in [(0, "444"), (1, "422"), (2, "420")]:
        yield "jpeg_%s.jpg" % name, saved(rgb, "JPEG", subsampling=subsampling, quality=85)
    yield "jpeg_progressive.jpg", saved(rgb, "JPEG", progressive=True, quality=80)
    yield "jpeg_optimised_low.jpg", saved(rgb, "JPEG", optimize=True, quality=10)
    yield "jpeg_grey.jpg", saved(picture("L", 33, 25, 3), "JPEG")
    yield "jpeg_grey_progressive.jpg", saved(picture("L", 33, 25, 3), "JPEG", progressive=True)
    yield "jpeg_1x1.jpg", saved(picture("RGB", 1, 1, 4), "JPEG")
    yield "jpeg_1x37.jpg", saved(picture("RGB", 1, 37, 4), "JPEG")
    yield "jpeg_37x1.jpg", saved(picture("RGB", 37, 1, 4), "JPEG")
    yield "jpeg_cmyk_adobe.jpg", cmyk
    yield "jpeg_cmyk_progressive.jpg", saved(picture("CMYK", 33, 25, 2), "JPEG", progressive=True)
    adobe = cmyk.index(b"\xff\xee")
    assert cmyk[adobe:adobe + 9] == b"\xff\xee\x00\x0eAdobe" and cmyk[adobe + 15] == 0
    yield "jpeg_ycck_adobe.jpg", cmyk[:adobe + 15] + b"\2" + cmyk[adobe + 16:]
    yield "jpeg_cmyk_plain.jpg", cmyk[:adobe] + cmyk[adobe + 16:]
    ycc = saved(rgb, "JPEG", subsampling=0)
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
    yield "jpeg_rgb_adobe.jpg", ycc[:2] + marker + ycc[20:]  # the JFIF header gives way
    for orientation in range(1, 9):
        block = b"Exif\0\0" + exif(orientation, orientation % 2 == 0, orientation)
        yield "jpeg_exif_%d.jpg" % orientation, saved(picture("RGB", 12, 7, 5), "JPEG", exif=block)


def webps():
    rgb, rgba = picture("RGB", 33, 25, 6), picture("RGBA", 33, 25, 7)
    yield "webp_lossy.webp", saved(rgb, "WEBP", quality=70)
    yield "webp_lossy_alpha.webp", saved(rgba, "WEBP", quality=70)
    yield "webp_lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "webp_lossless_alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True)
    yield "webp_1x1.webp", saved(picture("RGB", 1, 1, 8), "WEBP")
    yield "webp_exif_8.webp", saved(picture("RGB", 12, 7, 8), "WEBP", exif=exif(8, False))
    yield "webp_animated.webp", saved(rgb, "WEBP", save_all=True,
                                      append_images=[picture("RGB", 33, 25, 9)], duration=100)
    small = saved(picture("RGBA", 10, 8, 10), "WEBP", lossless=True, exact=True)
    payload = small[12:]
    if payload[:4] == b"VP8X":
        payload = payload[18:]
    frame = struct.pack("<I", 3)[:3] + struct.pack("<I", 4)[:3]  # offset (6, 8)
    frame += struct.pack("<I", 9)[:3] + struct.pack("<I", 7)[:3] + struct.pack("<I", 50)[:3] + b"\2"
    anmf = b"ANMF" + struct.pack("<I", len(frame + payload)) + frame + payload
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x12\0\0\0"
    body += struct.pack("<I", 29)[:3] + struct.pack("<I", 19)[:3]  # canvas 30 x 20
    body += b"ANIM" + struct.pack("<I", 6) + b"\xff\x80\x40\xff\0\0" + anmf
    yield "webp_animated_offset.webp", b"RIFF" + struct.pack("<I", len(body)) + body


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGB")


def decodes_from(data):
    """The length from which on every prefix is a picture to Pillow."""
    length = len(data)
    while length > 0:
        try:
            opened(data[:length - 1])
        except Exception:
            break
        length -= 1
    return length


def describe(name, data, sizes):
    rgb = opened(data)
    entry = {"file": name, "width": rgb.width, "height": rgb.height, "rgb_sha256": sha256(rgb)}
    if name.endswith(".jpg") and len(data) < 20000:
        entry["decodes_from"] = decodes_from(data)
    turned = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    if sha256(turned) != sha256(rgb):
        entry["oriented"] = {"width": turned.width, "height": turned.height,
                             "rgb_sha256": sha256(turned)}
    entry["resized"] = [{"width": w, "height": h,
                         "rgb_sha256": sha256(rgb.resize((w, h), Image.BICUBIC))}
                        for w, h in sizes]
    return entry


def computed(width, height, sizes):
    """A picture too large to commit: byte i is the upper byte of i * 2654435761 mod 2^32."""
    data = bytes(((i * 2654435761) & 0xffffffff) >> 24 for i in range(width * height * 3))
    rgb = Image.frombytes("RGB", (width, height), data)
    return {"width": width, "height": height, "rgb_sha256": sha256(rgb),
            "resized": [{"width": w, "height": h,
                         "rgb_sha256": sha256(rgb.resize((w, h), Image.BICUBIC))}
                        for w, h in sizes]}


def write(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")
    print(path, path.stat().st_size)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.photographs:
        files = sorted(p for p in arguments.photographs.rglob("*")
                       if p.suffix in (".jpg", ".png", ".webp") and p.name != "truncated.jpg")
        write(OUT / "photographs.json",
              {"pictures": [describe(str(p.relative_to(arguments.photographs)), p.read_bytes(),
                                     [(112, 112), (1120, 1120), (333, 77)]) for p in files]})
        return
    OUT.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, data in [*pngs(), *jpegs(), *webps()]:
        assert len(data) < 20000, name
        (OUT / name).write_bytes(data)
        entries.append(describe(name, data, MANY_SIZES if name == "png_resize.png" else SIZES))
    write(OUT / "manifest.json",
          {"pictures": entries,
           "computed": [computed(3, 20000, [(1200, 1), (1200, 3)]),
                        computed(20000, 3, [(1, 900), (7, 5)]),
                        computed(640, 480, [(1120, 1120), (112, 112), (639, 480), (640, 479)]),
                        computed(1500, 1100, [(1120, 1120), (101, 1100), (1500, 97)])]})


if __name__ == "__main__":
    main()
