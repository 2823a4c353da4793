// A directory of a test's own, removed with all that is in it.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace pycds::test {

class TempDir {
  public:
    // `parent` must exist. The test fails, and path() is empty, if no directory can be made.
    explicit TempDir(const std::string& parent = "/tmp") {
        std::string name = parent + "/pycds-test-XXXXXX";
        if (mkdtemp(name.data()) != nullptr) path_ = name;
        EXPECT_FALSE(path_.empty()) << "cannot make a directory in " << parent;
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() {
        std::error_code error;
        if (!path_.empty()) std::filesystem::remove_all(path_, error);
    }

    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

inline void write_file(const std::string& path, std::string_view text, mode_t mode = 0644) {
    std::ofstream(path, std::ios::binary).write(text.data(), static_cast<long>(text.size()));
    ASSERT_EQ(chmod(path.c_str(), mode), 0) << path;
}

inline std::string read_file(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

}  // namespace pycds::test
