#!/usr/bin/env python3
"""Writes cardloom/tokenizer/unicode_tables.cc: which code points are letters, numbers, white space.

    tools/make_unicode_tables.py > cardloom/tokenizer/unicode_tables.cc

Classes come from Python's unicodedata (general category L*, N*); White_Space, which unicodedata does
not hold, is the list of PropList.txt, unchanged since Unicode 6.3.
"""
import sys
import unicodedata

WHITE_SPACE = {
    *range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B),
    0x2028, 0x2029, 0x202F, 0x205F, 0x3000,
}
PER_LINE = 3


def char_class(code_point):
    if code_point in WHITE_SPACE:
        return "kSpace"
    category = unicodedata.category(chr(code_point))
    return {"L": "kLetter", "N": "kNumber"}.get(category[0])


def ranges():
    begin, current = 0, None
    for code_point in range(sys.maxunicode + 2):
        found = char_class(code_point) if code_point <= sys.maxunicode else None
        if found == current:
            continue
        if current is not None:
            yield begin, code_point - 1, current
        begin, current = code_point, found


def main():
    rows = [f"{{0x{first:04X}, 0x{last:04X}, {name}}}," for first, last, name in ranges()]
    print(f"""// Written by tools/make_unicode_tables.py from Unicode {unicodedata.unidata_version}; do not edit.
#include "cardloom/tokenizer/unicode_classes.h"

namespace cardloom {{
namespace {{

constexpr CharClass kLetter = CharClass::kLetter;
constexpr CharClass kNumber = CharClass::kNumber;
constexpr CharClass kSpace = CharClass::kSpace;

// clang-format off
constexpr CharRange kRanges[] = {{""")
    for i in range(0, len(rows), PER_LINE):
        print("    " + " ".join(rows[i : i + PER_LINE]))
    print("""};
// clang-format on

}  // namespace

std::span<const CharRange> char_ranges() { return kRanges; }

}  // namespace cardloom""")


if __name__ == "__main__":
    main()
