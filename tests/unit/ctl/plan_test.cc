// plan.py, run as the commands run it, on trees on disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "ctl/interpreter.h"
#include "support.h"

namespace pycds::ctl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> entries(const Plan& plan) {
    std::string text(1 << 20, '\0');
    const ssize_t size = pread(plan.fd.get(), text.data(), text.size(), 0);
    text.resize(size < 0 ? 0 : static_cast<size_t>(size));
    std::vector<std::string> paths;
    for (size_t at = 0; at < text.size();) {
        const size_t end = text.find('\0', at);
        paths.push_back(text.substr(at, end - at));
        at = end == std::string::npos ? text.size() : end + 1;
    }
    EXPECT_EQ(paths.size(), plan.count);
    return paths;
}

class PlanTest : public testing::Test {
  protected:
    PlanTest() {
        Result<Interpreter> python = find_interpreter(TEST_PYTHON);
        EXPECT_TRUE(python);
        if (python) python_ = *python;
    }

    Result<Plan> plan(PlanRequest::Mode mode, std::vector<std::string> names,
                      const std::string& trace = "") {
        return make_plan(python_, {mode, std::move(names), trace, 0});
    }

    std::vector<std::string> paths(PlanRequest::Mode mode, std::vector<std::string> names,
                                   const std::string& trace = "") {
        Result<Plan> made = plan(mode, std::move(names), trace);
        if (!made) {
            ADD_FAILURE() << made.error().message;
            return {};
        }
        return entries(*made);
    }

    Interpreter python_;
    TempDir tree_;
    ScopedVariable path_{"PYTHONPATH", tree_.path().c_str()};
    ScopedVariable cache_{"PYTHONPYCACHEPREFIX", nullptr};
};

using Mode = PlanRequest::Mode;

TEST_F(PlanTest, ModuleIsItsSource) {
    const std::string source = tree_.file("lone.py");
    EXPECT_THAT(paths(Mode::kModules, {"lone"}), ElementsAre(source));
}

TEST_F(PlanTest, PackageIsEverythingBelowIt) {
    const std::string init = tree_.file("pkg/__init__.py");
    const std::string deep = tree_.file("pkg/inner/deep.py");
    const std::string inner = tree_.file("pkg/inner/__init__.py");
    const std::string portion = tree_.file("pkg/portion/leaf.py");
    tree_.file("pkg/__pycache__/stray.py");
    tree_.file("pkg/data.d/not_importable.py");
    tree_.file("pkg/also.not.py");
    tree_.file("pkg/readme.txt");
    EXPECT_THAT(paths(Mode::kModules, {"pkg"}), ElementsAre(init, inner, deep, portion));
}

TEST_F(PlanTest, SubmoduleIsFoundWithoutRunningItsParents) {
    tree_.file("pkg/__init__.py", "raise SystemExit('executed')\n");
    const std::string sub = tree_.file("pkg/sub.py", "raise SystemExit('executed')\n");
    EXPECT_THAT(paths(Mode::kModules, {"pkg.sub"}), ElementsAre(sub));
}

TEST_F(PlanTest, NamespacePackageHasAllItsPortions) {
    const std::string one = tree_.file("one/space/inner/a.py");
    const std::string two = tree_.file("two/space/inner/b.py");
    const ScopedVariable path("PYTHONPATH", (tree_ / "one:" + tree_ / "two").c_str());
    EXPECT_THAT(paths(Mode::kModules, {"space"}), ElementsAre(one, two));
    EXPECT_THAT(paths(Mode::kModules, {"space.inner.b"}), ElementsAre(two));
    EXPECT_THAT(paths(Mode::kModules, {"space.inner"}), ElementsAre(one, two));
}

TEST_F(PlanTest, PathsAreSpelledAsTheImporterSpellsThem) {
    tree_.file("real/pkg/__init__.py");
    tree_.file("real/pkg/m.py");
    fs::create_directory_symlink(tree_ / "real", tree_ / "link");
    const ScopedVariable path("PYTHONPATH", (tree_ / "link//").c_str());
    EXPECT_THAT(paths(Mode::kModules, {"pkg"}),
                ElementsAre(tree_ / "link/pkg/__init__.py", tree_ / "link/pkg/m.py"));
    EXPECT_THAT(paths(Mode::kImport, {"pkg.m"}), Contains(tree_ / "link/pkg/m.py"));
}

TEST_F(PlanTest, LinksDoNotLeadRoundInCircles) {
    const std::string init = tree_.file("pkg/__init__.py");
    fs::create_directory_symlink(tree_ / "pkg", tree_ / "pkg/again");
    EXPECT_THAT(paths(Mode::kModules, {"pkg"}), ElementsAre(init));
}

TEST_F(PlanTest, NamesGivenTwiceCountOnce) {
    const std::string source = tree_.file("lone.py");
    EXPECT_THAT(paths(Mode::kModules, {"lone", "lone"}), ElementsAre(source));
}

TEST_F(PlanTest, MissingModuleIsNotFound) {
    Result<Plan> missing = plan(Mode::kModules, {"no_such_module"});
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(missing.error().message, "no module named no_such_module for " TEST_PYTHON);
    tree_.file("pkg/__init__.py");
    EXPECT_EQ(plan(Mode::kModules, {"pkg.missing"}).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(plan(Mode::kModules, {"pkg..x"}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(PlanTest, ModuleWithoutSourceIsNotFound) {
    Result<Plan> builtin = plan(Mode::kModules, {"sys"});
    ASSERT_FALSE(builtin);
    EXPECT_EQ(builtin.error().code, ErrorCode::kNotFound);
    EXPECT_THAT(builtin.error().message, HasSubstr("no source file"));
}

TEST_F(PlanTest, ImportTakesWhatIsLoadedAndNothingElse) {
    const std::string main = tree_.file("main_module.py", "import used_module\nprint('hello')\n");
    const std::string used = tree_.file("used_module.py");
    const std::string unused = tree_.file("unused_module.py");
    const auto got = paths(Mode::kImport, {"main_module"});
    EXPECT_THAT(got, Contains(main));
    EXPECT_THAT(got, Contains(used));
    EXPECT_THAT(got, Not(Contains(unused)));
    // Nor what plan.py needs in its other modes.
    for (const std::string& path : got) EXPECT_THAT(path, Not(HasSubstr("/pkgutil.py")));
    EXPECT_FALSE(fs::exists(tree_ / "__pycache__"));
}

TEST_F(PlanTest, ImportRunsWithTheClientOff) {
    tree_.file("checks.py", "import os\nassert os.environ['PYCDS'] == 'off'\n");
    EXPECT_TRUE(plan(Mode::kImport, {"checks"}));
}

TEST_F(PlanTest, FailingImportIsToldWithItsError) {
    tree_.file("broken.py", "raise ValueError('first\\nsecond')\n");
    Result<Plan> failed = plan(Mode::kImport, {"broken"});
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, ErrorCode::kNotFound);
    EXPECT_EQ(failed.error().message,
              "cannot import broken with " TEST_PYTHON ": ValueError: first");
    tree_.file("leaves.py", "raise SystemExit(0)\n");
    EXPECT_EQ(plan(Mode::kImport, {"leaves"}).error().code, ErrorCode::kNotFound);
    tree_.file("vanishes.py", "import os\nos._exit(0)\n");
    EXPECT_EQ(plan(Mode::kImport, {"vanishes"}).error().code, ErrorCode::kSystem);
    tree_.file("dies.py", "import os\nos.abort()\n");
    EXPECT_THAT(plan(Mode::kImport, {"dies"}).error().message, HasSubstr("signal 6"));
}

TEST_F(PlanTest, TraceHoldsPathsAndModules) {
    const std::string lone = tree_.file("lone.py");
    tree_.file("pkg/__init__.py");
    const std::string sub = tree_.file("pkg/sub.py");
    const std::string trace =
        tree_.file("trace",
                   "# seen\n\nlone\npkg.sub # twice\npkg.sub\n/some/where/x.py\nsys\n"
                   "os.path\n");
    EXPECT_THAT(paths(Mode::kTrace, {}, trace), ElementsAre("/some/where/x.py", lone, sub));
}

TEST_F(PlanTest, TraceProblemsNameTheLine) {
    const std::string trace = tree_.file("trace", "# nothing\nno_such_module\n");
    EXPECT_THAT(plan(Mode::kTrace, {}, trace).error().message, HasSubstr("line 2"));
    EXPECT_EQ(plan(Mode::kTrace, {}, tree_ / "missing").error().code, ErrorCode::kNotFound);
    const std::string empty = tree_.file("empty", "# nothing\n");
    EXPECT_EQ(plan(Mode::kTrace, {}, empty).error().code, ErrorCode::kNotFound);
}

TEST_F(PlanTest, AllIsWhatHasAPyc) {
    const std::string compiled = tree_.file("compiled.py");
    const std::string uncompiled = tree_.file("uncompiled.py");
    Result<ChildEnd> end = run_child({TEST_PYTHON, {"-I", "-m", "py_compile", compiled}, {}});
    ASSERT_TRUE(end && end->status == 0);
    const auto got = paths(Mode::kAll, {});
    EXPECT_THAT(got, Contains(compiled));
    EXPECT_THAT(got, Not(Contains(uncompiled)));
    // The tests of the standard library are nothing that programs import.
    const std::string tests =
        "/python" + python_.version.substr(0, python_.version.rfind('.')) + "/test/";
    for (const std::string& path : got) EXPECT_THAT(path, Not(HasSubstr(tests)));
}

TEST_F(PlanTest, NamesThatAreNoUtf8Survive) {
    const std::string odd = tree_.file("d\xff/lone.py");
    const ScopedVariable path("PYTHONPATH", (tree_ / "d\xff").c_str());
    EXPECT_THAT(paths(Mode::kModules, {"lone"}), ElementsAre(odd));
}

TEST(FindInterpreter, LooksUpAndChecks) {
    Result<Interpreter> python = find_interpreter(TEST_PYTHON);
    ASSERT_TRUE(python);
    EXPECT_EQ(python->path, TEST_PYTHON);
    EXPECT_EQ(std::count(python->version.begin(), python->version.end(), '.'), 2);
    const ScopedVariable path("PATH", "/nowhere:/usr/bin");
    EXPECT_EQ(find_interpreter("python3")->path, "/usr/bin/python3");
    EXPECT_EQ(find_interpreter("no-such-python").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(find_interpreter("/no/such/python").error().code, ErrorCode::kNotFound);
    EXPECT_EQ(find_interpreter("/bin/true").error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(find_interpreter("").error().code, ErrorCode::kInvalidArgument);
}

TEST(FindInterpreter, KeepsLinksAndSeesThroughWrappers) {
    const TempDir directory;
    fs::create_symlink(TEST_PYTHON, directory / "linked");
    EXPECT_EQ(find_interpreter(directory / "linked")->path, directory / "linked");
    const std::string wrapper =
        directory.file("wrapper", "#!/bin/sh\nexec " TEST_PYTHON " \"$@\"\n");
    fs::permissions(wrapper, fs::perms::owner_all);
    EXPECT_EQ(find_interpreter(wrapper)->path, wrapper);
    EXPECT_EQ(find_interpreter(wrapper)->executable, TEST_PYTHON);
}

TEST(SplitNames, TakesCommasAndSpaces) {
    EXPECT_THAT(split_names("a, b.c  d,,e"), ElementsAre("a", "b.c", "d", "e"));
    EXPECT_TRUE(split_names(" , ").empty());
}

}  // namespace
}  // namespace pycds::ctl
