#include "daemon/build/readable.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

namespace pycds::build {
namespace {

namespace fs = std::filesystem;

// Where distributions keep libraries, what the dynamic loader and OpenSSL (which hashlib loads)
// look at, and what programs open for nothing and for chance.
constexpr const char* kOfTheSystem[] = {
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/ssl/openssl.cnf",
    "/dev/null",
    "/dev/urandom",
};

bool is_elf(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    char magic[4] = {};
    return file.read(magic, sizeof magic) && std::memcmp(magic, "\177ELF", sizeof magic) == 0;
}

// The directory above bin/, or that of a program in a build tree.
fs::path prefix_of(const fs::path& directory) {
    return directory.filename() == "bin" ? directory.parent_path() : directory;
}

// `home` of a pyvenv.cfg (site.venv()): the bin/ of the interpreter it was made from.
std::string home_of(const fs::path& pyvenv) {
    std::ifstream file(pyvenv);
    std::string line;
    while (std::getline(file, line)) {
        const size_t equals = line.find('=');
        const size_t end = line.find_first_of(" \t=");
        if (equals == std::string::npos || line.compare(0, end, "home") != 0) continue;
        const size_t begin = line.find_first_not_of(" \t", equals + 1);
        if (begin == std::string::npos) return {};
        return line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin);
    }
    return {};
}

void add(const fs::path& path, std::vector<std::string>* out) {
    if (path.is_absolute() && path != "/") out->push_back(path.native());
}

}  // namespace

std::vector<std::string> paths_of_interpreter(const std::string& python) {
    if (!is_elf(python)) return {"/"};
    std::vector<std::string> out(std::begin(kOfTheSystem), std::end(kOfTheSystem));
    std::error_code ignored;
    for (const fs::path& program : {fs::path(python), fs::canonical(python, ignored)}) {
        const fs::path directory = program.parent_path();
        add(prefix_of(directory), &out);
        for (const fs::path& beside : {directory, directory.parent_path()}) {
            const fs::path home = home_of(beside / "pyvenv.cfg");
            if (home.empty()) continue;
            add(prefix_of(home), &out);
            add(prefix_of(fs::canonical(home, ignored)), &out);
        }
    }
    return out;
}

std::vector<std::string> directories_of_plan(std::string_view plan) {
    std::set<std::string, std::less<>> directories;
    while (!plan.empty()) {
        const std::string_view path = plan.substr(0, plan.find('\0'));
        plan.remove_prefix(std::min(plan.size(), path.size() + 1));
        const size_t slash = path.rfind('/');
        if (slash == std::string_view::npos) continue;
        // Not all that there is for a source in the root directory.
        directories.emplace(slash == 0 ? "/__pycache__" : path.substr(0, slash));
    }
    // A directory comes before what is beneath it, but "/a-b" between "/a" and "/a/b".
    std::vector<std::string> out;
    for (const std::string& directory : directories) {
        bool beneath = false;
        for (size_t at = directory.find('/', 1); at != std::string::npos && !beneath;
             at = directory.find('/', at + 1)) {
            beneath = directories.contains(std::string_view(directory).substr(0, at));
        }
        if (!beneath) out.push_back(directory);
    }
    return out;
}

}  // namespace pycds::build
