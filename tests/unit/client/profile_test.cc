// client/builder/profile.h: what is understood is kept, whatever else the text holds.
#include "client/builder/profile.h"

#include <gtest/gtest.h>

#include <string>

namespace pycds::builder {
namespace {

TEST(ProfileModuleKey, IsWhatFollowsTheLastDirectoryOfModules) {
    EXPECT_EQ(Profile::module_key("/usr/lib/python3.11/json/decoder.py"), "json/decoder.py");
    EXPECT_EQ(Profile::module_key("/usr/lib/python3.13/json/decoder.py"), "json/decoder.py");
    EXPECT_EQ(Profile::module_key("/usr/lib/python3/dist-packages/flask/app.py"), "flask/app.py");
    EXPECT_EQ(Profile::module_key("/v/lib/python3.11/site-packages/flask/app.py"), "flask/app.py");
    EXPECT_EQ(Profile::module_key("/a/site-packages/b/dist-packages/c.py"), "c.py");
}

TEST(ProfileModuleKey, IsThePathItselfElsewhere) {
    for (const char* path :
         {"/srv/app/main.py", "main.py", "", "/", "//", "/usr/lib/python3/x.py",
          "/usr/lib/python3./x.py", "/usr/lib/python3.x/y.py", "/usr/lib/python3.11a/y.py",
          "/usr/lib/python3.11", "python3.11", "/usr/lib/xpython3.11/y.py"}) {
        EXPECT_EQ(Profile::module_key(path), path);
    }
    EXPECT_EQ(Profile::module_key("/usr/lib/python3.11/"), "");
    EXPECT_EQ(Profile::module_key("python3.11/a.py"), "a.py");
}

TEST(ProfileTest, Functions) {
    const Profile profile = Profile::parse(
        "function json/decoder.py JSONDecoder.decode\n"
        "function a.py f.<locals>.<lambda>\n"
        "function b.py name with spaces\n");
    EXPECT_TRUE(profile.runs("json/decoder.py", "JSONDecoder.decode"));
    EXPECT_TRUE(profile.runs("a.py", "f.<locals>.<lambda>"));
    EXPECT_TRUE(profile.runs("b.py", "name with spaces"));
    EXPECT_FALSE(profile.runs("json/decoder.py", "JSONDecoder"));
    EXPECT_FALSE(profile.runs("json/decoder.py JSONDecoder.decode", ""));
    EXPECT_FALSE(profile.runs("", ""));
    // Module and name are two things, whatever they are made of.
    EXPECT_FALSE(profile.runs("b.py name", "with spaces"));
}

TEST(ProfileTest, NamesAndKeys) {
    const Profile profile = Profile::parse("name path\nkey application/json; a\nkey \xc3\xa9\n");
    EXPECT_TRUE(profile.has_name("path"));
    EXPECT_FALSE(profile.has_key("path"));
    EXPECT_TRUE(profile.has_key("application/json; a"));
    EXPECT_TRUE(profile.has_key("\xc3\xa9"));
    EXPECT_FALSE(profile.has_name("application/json; a"));
    EXPECT_FALSE(profile.has_name(""));
    EXPECT_FALSE(profile.has_key(""));
}

TEST(ProfileTest, LastLineNeedsNoEnd) {
    EXPECT_TRUE(Profile::parse("name x").has_name("x"));
    EXPECT_TRUE(Profile::parse("\n\nname x\n\n").has_name("x"));
}

TEST(ProfileTest, PassesOverWhatItDoesNotUnderstand) {
    const std::string good = "name x\n";
    for (const std::string& bad :
         {std::string("name\n"), std::string("name \n"), std::string("function a.py\n"),
          std::string("function a.py \n"), std::string("function\n"), std::string(" name y\n"),
          std::string("names y\n"), std::string("\r\n"), std::string("module\n"),
          std::string("module \n"), std::string("# comment\n"), std::string("\0name y\n", 8),
          std::string("\xff\xfe\n"), std::string(100'000, 'a') + "\n"}) {
        const Profile profile = Profile::parse(bad + good + bad);
        EXPECT_TRUE(profile.has_name("x")) << bad;
        EXPECT_FALSE(profile.has_name("y")) << bad;
        EXPECT_FALSE(profile.has_name("")) << bad;
        EXPECT_FALSE(profile.runs("a.py", "")) << bad;
    }
    // A line that ends otherwise is another text.
    EXPECT_FALSE(Profile::parse("name x\r\n").has_name("x"));
}

TEST(ProfileTest, EmptyKnowsNothing) {
    const Profile profile = Profile::parse("");
    EXPECT_FALSE(profile.runs("a.py", "f"));
    EXPECT_FALSE(profile.has_name("a"));
    EXPECT_FALSE(profile.has_key("a"));
}

}  // namespace
}  // namespace pycds::builder
