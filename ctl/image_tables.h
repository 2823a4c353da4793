// What an image's tables say of single sources.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>

#include "ctl/image_source.h"
#include "src/common/base/result.h"
#include "src/common/image/format.h"

namespace pycds::ctl {

class ImageTables {
  public:
    // kCorrupt if it is no valid image of this format version; `name` is for the message.
    static Result<ImageTables> open(LoadedImage image, const std::string& name);

    bool has_root(std::string_view source) const;
    std::optional<image::LeftOutReason> why_left_out(std::string_view source) const;

    // The path of the source, as an import would have to spell it, that the image has from the .pyc
    // file of which stat(2) says this; nothing if there is none.
    std::optional<std::string> source_of_pyc(const struct stat& pyc) const;

  private:
    explicit ImageTables(LoadedImage image) : image_(std::move(image)) {}
    template <typename Record, typename Visit>
    void for_each(image::RegionKind kind, Visit visit) const;
    std::string_view path(uint32_t offset, uint32_t size) const;

    LoadedImage image_;
};

}  // namespace pycds::ctl
