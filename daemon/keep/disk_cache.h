// Images in a directory, so that a reboot costs no build. One file per image, named by
// core/kept_image.h, complete or absent: it is written beside and renamed. It is not synced: what a
// crash leaves half-written does not validate, and is made again.
//
// The directory is the daemon's own and closed to others (systemd.exec(5) CacheDirectory=); what is
// in it is validated all the same.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/core/image_keeper.h"
#include "daemon/core/image_store.h"
#include "daemon/core/worker.h"

namespace pycds::keep {

class DiskCache final : public core::ImageKeeper {
  public:
    // All work on files is the worker's, in the order of the calls.
    DiskCache(core::Worker& worker, const std::string& directory, const std::string& version);

    // Reads the whole directory, the newest first. Files of images that are in the store already
    // (`there`) stay; bad ones, and those that were replaced meanwhile, go. Then writes what is in
    // the store and not in the directory. `done` gets the rest, validated, and is called once; the
    // names of their files are those of this version. Call it once.
    void load(const std::vector<core::StoredImage>& there,
              std::function<void(std::vector<core::NewImage>)> done);

    // Not those that end with the boot: a secret could be read off them.
    void keep(const core::StoredImage& image) override;
    void forget(const core::StoredImage& image) override;
    // Of what load() gave and nobody wants.
    void remove(const std::string& name);

  private:
    struct Load;

    void read_next(const std::shared_ptr<Load>& load);

    core::Worker& worker_;
    // Shared with what waits for the worker, which may outlive us.
    const std::shared_ptr<const std::string> directory_;
    const std::string version_;
};

}  // namespace pycds::keep
