// What is known from recordings of real processes of what they write: which functions run while
// modules are imported, which names a process has interned before an image's modules come. Only the
// order of objects in an image depends on it, so nothing here needs to be true: a line that is
// wrong, stale or missing costs clean pages and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace pycds::builder {

class Profile {
  public:
    // Reads the text form; what is not understood is passed over. One line an observation:
    //   module N MODULE            was imported by N of the programs
    //   function MODULE QUALNAME   has run
    //   hashed MODULE QUALNAME     its code object was hashed, and with it its constants and tables
    //   name TEXT                  the process had a string of its own of that text
    //   foreign PACKAGE TEXT       may be such a name for the modules of a package: it stands in an
    //                              extension module there
    //   key TEXT                   a string that is not a name has been hashed
    // MODULE is module_key() of its source.
    static Profile parse(std::string_view text);

    // How many programs import it.
    uint32_t popularity(std::string_view module) const;
    bool runs(std::string_view module, std::string_view qualname) const;
    bool hashes(std::string_view module, std::string_view qualname) const;
    bool has_name(std::string_view text) const;
    bool has_foreign(std::string_view package, std::string_view text) const;
    bool has_key(std::string_view text) const;

    // A source path without what differs between machines and versions: what follows the directory
    // that importlib found it in (".../python3.11/", ".../dist-packages/", ".../site-packages/").
    static std::string_view module_key(std::string_view path);
    // The first part of such a key, less what follows a dot: "flask", "typing".
    static std::string_view package(std::string_view module_key);

  private:
    std::unordered_map<std::string, uint32_t> modules_;
    std::unordered_set<std::string> functions_;  // MODULE, a NUL, QUALNAME
    std::unordered_set<std::string> hashed_;     // likewise
    std::unordered_set<std::string> names_;
    std::unordered_set<std::string> foreign_;    // PACKAGE, a NUL, TEXT
    std::unordered_set<std::string> keys_;
};

}  // namespace pycds::builder
