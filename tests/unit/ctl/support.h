// What the tests of pycdsctl share.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "ctl/child.h"

namespace pycds::ctl {

namespace fs = std::filesystem;

// A directory that goes with the test. Its name has no symbolic link in it.
class TempDir {
  public:
    TempDir() {
        std::string pattern = fs::canonical(fs::temp_directory_path()) / "pycdsctl-test-XXXXXX";
        path_ = mkdtemp(pattern.data());
    }
    ~TempDir() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    std::string operator/(const std::string& name) const { return path_ / name; }
    std::string path() const { return path_; }

    // Writes a file, its directories too, and returns its path.
    std::string file(const std::string& name, const std::string& text = "") const {
        const fs::path path = path_ / name;
        fs::create_directories(path.parent_path());
        std::ofstream(path, std::ios::binary) << text;
        return path;
    }

  private:
    fs::path path_;
};

// Sets a variable for the length of a test.
class ScopedVariable {
  public:
    ScopedVariable(const char* name, const char* value) : name_(name) {
        if (const char* before = std::getenv(name); before != nullptr) {
            had_ = true;
            before_ = before;
        }
        if (value != nullptr) {
            setenv(name, value, 1);
        } else {
            unsetenv(name);
        }
    }
    ~ScopedVariable() {
        if (had_) {
            setenv(name_, before_.c_str(), 1);
        } else {
            unsetenv(name_);
        }
    }
    ScopedVariable(const ScopedVariable&) = delete;
    ScopedVariable& operator=(const ScopedVariable&) = delete;

  private:
    const char* name_;
    bool had_ = false;
    std::string before_;
};

// Runs the program under test.
inline ChildEnd pycdsctl(std::vector<std::string> arguments,
                         std::vector<std::string> variables = {}) {
    Result<ChildEnd> end = run_child({PYCDSCTL, std::move(arguments), std::move(variables)});
    if (!end) {
        ADD_FAILURE() << end.error().message;
        return {};
    }
    EXPECT_EQ(end->signal, 0) << end->errors;
    return *end;
}

// Is this JSON? Asks a parser that is not ours.
inline bool is_json(const std::string& text) {
    const TempDir directory;
    const std::string file = directory.file("text.json", text);
    Result<ChildEnd> end = run_child(
        {TEST_PYTHON, {"-I", "-c", "import json, sys; json.load(open(sys.argv[1]))", file}, {}});
    return end && end->signal == 0 && end->status == 0;
}

}  // namespace pycds::ctl
