// Both outputs, the JSON as Python's own reader sees it.
#include "src/common/image/printer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "src/common/base/text.h"
#include "tests/fakes/tiny_image.h"
#include "tests/unit/image/forge.h"

namespace pycds::image {
namespace {

constexpr PrintOptions kEverything{.roots = true, .left_out = true};

// Runs Python assertions about `d`, the parsed text.
void expect_json(const std::string& json, const std::string& assertions) {
    const std::string base = testing::TempDir() + "printer_test_" + std::to_string(getpid());
    std::ofstream(base + ".json", std::ios::binary) << json;
    std::ofstream(base + ".py") << "import json, os, sys\n"
                                << "text = open(sys.argv[1], 'rb').read()\n"
                                << "assert text.endswith(b'\\n') and text.count(b'\\n') == 1\n"
                                << "d = json.loads(text.decode('utf-8'))\n"
                                << assertions;
    const std::string command = "python3 -I '" + base + ".py' '" + base + ".json'";
    EXPECT_EQ(std::system(command.c_str()), 0) << json;  // NOLINT(cert-env33-c)
    std::remove((base + ".json").c_str());
    std::remove((base + ".py").c_str());
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

TEST(PrintText, SaysWhatIsInTheImage) {
    const auto image =
        fakes::make_tiny_image({.domain = DomainKind::kUser, .uid = 1234, .generation = 77});
    const std::string text = print_text(image, kEverything);
    const auto identity = fakes::tiny_identity(1);
    for (const std::string& part : {
             "version " + std::to_string(image::kFormatVersion),
             std::string("3.13.5 (tiny)"),
             std::string("cpython-313"),
             hex(identity.build_id, identity.build_id_size),
             std::string("user 1234"),
             std::string("generation       77"),
             std::string("0x200000000000"),
             std::string("code-once"),
             std::string("left-out"),
             std::string("singleton"),
             std::string("/usr/lib/python3/dist-packages/tiny/m0001.py"),
             std::string("/usr/lib/python3/dist-packages/tiny/__pycache__/m0001.cpython-313.pyc"),
             std::string("mtime_ns 1700000001000000001"),
             std::string("pyc-stale"),
         }) {
        EXPECT_TRUE(contains(text, part)) << part << "\n" << text;
    }
    EXPECT_EQ(text.back(), '\n');
}

TEST(PrintText, ListsOnlyOnRequest) {
    const auto image = fakes::make_tiny_image();
    EXPECT_FALSE(contains(print_text(image), "m0001.py"));
    EXPECT_FALSE(contains(print_text(image), "stale.py"));
    EXPECT_TRUE(contains(print_text(image, {.roots = true}), "m0001.py"));
    EXPECT_TRUE(contains(print_text(image, {.left_out = true}), "stale.py"));
}

TEST(PrintText, APathCannotControlTheTerminal) {
    const auto image = fakes::make_tiny_image({.paths = {{"/\x1b[2J\n\xff.py"}}});
    const std::string text = print_text(image, kEverything);
    EXPECT_TRUE(contains(text, "/\\x1b[2J\\x0a\\xff.py"));
    EXPECT_FALSE(contains(text, "\x1b"));
}

TEST(PrintJson, HasEverythingUnderStableKeys) {
    const auto image = fakes::make_tiny_image({.roots = 3, .generation = 5});
    expect_json(print_json(image, kEverything), R"(
assert d['format_version'] == 5 and d['known_version'] is True
assert d['image_size'] % 4096 == 0 and len(d['checksum']) == len(d['header_checksum']) == 16
assert len(d['identity']) == 32
i = d['interpreter']
assert i['python'] == '3.13.5 (tiny)' and i['cache_tag'] == 'cpython-313'
assert len(i['build_id']) == 40 and i['hexversion'] == '030005f0' and i['magic_number'] == 3571
assert i['optimize'] == 0 and i['debug_ranges'] is True
assert i['pointer_size'] == 8 and i['digit_bits'] == 30
assert i['layout_digest'] == '1122334455667788'
assert d['domain'] == {'kind': 'system'} and d['generation'] == 5
assert d['requested_base'] == '0x200000000000' and d['runtime_base'] == '0x400000'
assert d['objects_begin'] == 4096 < d['objects_end']
assert d['first_co_version'] == 0x80000000 and d['co_version_count'] == 6
assert d['root_count'] == 3 and d['left_out_count'] == 2
regions = {r['kind']: r for r in d['regions']}
assert len(regions) == len(d['regions']) == 20
assert regions['code-once']['count'] == 3 and regions['roots']['size'] == 3 * 104
assert regions['code-once']['hot_size'] > 0
x = d['external_references']
assert x['type']['listed'] == 9 and x['singleton']['listed'] == 4 and x['runtime']['listed'] == 1
assert x['type']['words'] == sum(r['count'] for r in d['regions'] if r['offset'] < d['objects_end'])
assert x['singleton']['words'] == 3 and x['runtime']['words'] == 6
r = d['roots'][1]
assert r['path'] == '/usr/lib/python3/dist-packages/tiny/m0001.py'
assert r['code_offset'] % 16 == 0 and r['unchecked_hash'] is False
assert r['source_mtime'] == 1700000001 and r['source_size'] == 101
assert r['pyc'] == {
    'path': '/usr/lib/python3/dist-packages/tiny/__pycache__/m0001.cpython-313.pyc',
    'dev': 0x801, 'ino': 1001, 'size': 201,
    'mtime_ns': 1700000001000000001, 'ctime_ns': 1700000002000000001}
assert [l['reason'] for l in d['left_out']] == ['no-pyc', 'pyc-stale']
assert d['left_out'][0]['path'].endswith('/no_pyc.py')
)");
}

TEST(PrintJson, ListsOnlyOnRequest) {
    const auto image = fakes::make_tiny_image({.domain = DomainKind::kUser, .uid = 7});
    expect_json(print_json(image), R"(
assert 'roots' not in d and 'left_out' not in d
assert d['domain'] == {'kind': 'user', 'uid': 7}
)");
    expect_json(print_json(image, {.roots = true}), "assert 'roots' in d and 'left_out' not in d");
}

TEST(PrintJson, OfNothingIsWellFormedToo) {
    const auto image = fakes::make_tiny_image({.roots = 0, .left_out = {}});
    expect_json(print_json(image, kEverything), "assert d['roots'] == d['left_out'] == []");
}

TEST(PrintJson, GivesTheBytesOfAnyPathBack) {
    std::string every = "/";
    for (int byte = 1; byte < 256; ++byte) every.push_back(static_cast<char>(byte));
    const auto image =
        fakes::make_tiny_image({.paths = {{every, "/utf8-\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80"}}});
    expect_json(print_json(image, kEverything), R"(
raw = [r['path'].encode('utf-8', 'surrogateescape') for r in d['roots']]
assert raw == [b'/' + bytes(range(1, 256)), '/utf8-é漢😀'.encode('utf-8')], raw
)");
}

TEST(Print, OfALaterFormatVersionOnlyThePrefix) {
    Forge forge;
    forge.header([](Header& h) {
        h.prefix.format_version = kFormatVersion + 1;
        h.region_count = 0xFFFF'FFFF;
    });
    const std::string text = print_text(forge.bytes, kEverything);
    EXPECT_TRUE(contains(text, "version 6"));
    EXPECT_FALSE(contains(text, "region "));
    expect_json(print_json(forge.bytes, kEverything), R"(
assert d['format_version'] == 6 and d['known_version'] is False
assert 'regions' not in d and 'roots' not in d and d['image_size'] > 0 and len(d['identity']) == 32
)");
    forge.bytes.resize(sizeof(FrozenPrefix));
    expect_json(print_json(forge.bytes), "assert d['format_version'] == 6");
}

TEST(Print, OfSomethingElse) {
    const std::vector<std::byte> zeros(4096);
    EXPECT_EQ(print_text(zeros), "not an image\n");
    EXPECT_EQ(print_text({}), "not an image\n");
    expect_json(print_json(zeros), "assert d == {'error': 'not an image'}");
}

}  // namespace
}  // namespace pycds::image
