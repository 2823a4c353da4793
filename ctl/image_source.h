// An image to look at: one of the daemon's, or a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "ctl/connection.h"
#include "ctl/pages/proc_parse.h"
#include "src/common/base/result.h"
#include "src/common/image/validator.h"
#include "src/common/os/mapping.h"

namespace pycds::ctl {

// The bytes of an image, not validated. They stay while the object does, and do not change: a
// file is read, a memfd is mapped once its seals are seen.
class LoadedImage {
  public:
    std::span<const std::byte> bytes() const { return bytes_; }

    // The file that the bytes are from.
    const FileIdentity& file() const { return file_; }

    // Is it a file that somebody named? What processes map may be another one with the same bytes.
    bool is_copy() const { return copy_ != nullptr; }

  private:
    friend Result<LoadedImage> load_image(const std::string&, const std::string&);
    friend Result<LoadedImage> load_file(const std::string&);
    friend Result<LoadedImage> load_sealed(int, const std::string&);
    Mapping mapping_;
    std::unique_ptr<uint64_t[]> copy_;
    std::span<const std::byte> bytes_;
    FileIdentity file_;
};

// `name` with a '/' in it is the path of a file, any other the id of an image of the daemon at
// `socket_path`. kNotFound, kPermissionDenied, kUnavailable; kCorrupt if the daemon's descriptor is
// not sealed or the size is out of all bounds.
Result<LoadedImage> load_image(const std::string& name, const std::string& socket_path);

Result<LoadedImage> load_file(const std::string& path);
Result<LoadedImage> load_sealed(int fd, const std::string& name);

// kCorrupt with the place and the kind of the defect, or success.
Status judge(const std::string& name, const image::Verdict& verdict);

}  // namespace pycds::ctl
