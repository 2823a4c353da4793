// Brings back the images that earlier processes of this daemon published: from the service
// manager's store, then from the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/core/kept_image.h"
#include "daemon/core/service.h"
#include "daemon/keep/disk_cache.h"
#include "daemon/sys/fd_store.h"
#include "daemon/sys/service_manager.h"

namespace pycds {

class KeptImages {
  public:
    // `cache` is empty for none.
    KeptImages(core::Service& service, core::Worker& worker, const std::string& version,
               const std::string& cache);
    KeptImages(const KeptImages&) = delete;
    KeptImages& operator=(const KeptImages&) = delete;

    // The address for randomised interpreters that stored images were made for, so that a restart
    // does not change it; 0 if there is none. Before take(). Nothing on the disk has a say: another
    // boot is to have another address.
    static uint64_t common_base_of(const std::vector<sys::StoredDescriptor>& stored);
    // What images for such interpreters are made to fit, wherever they come back from.
    void set_common_base(uint64_t base) { common_base_ = base; }

    // Are images good that were made for a hash seed? Only if that came back, too. Before take().
    void set_hash_seed_is_kept(bool kept) { hash_seed_is_kept_ = kept; }

    // At once those that a daemon of this version validated, so that nobody who connects meanwhile
    // goes without; the others with load(). What is none of ours is dropped.
    void take(std::vector<sys::StoredDescriptor> stored);

    // All the rest, in the background; `done` is called once, from the event loop.
    void load(std::function<void()> done);

  private:
    struct Descriptor {
        core::KeptName name;
        UniqueFd fd;
    };

    // `keeper` has it already; null: none.
    void restore(Result<core::NewImage> image, const std::string& name, core::ImageKeeper* keeper,
                 bool from_cache);
    void validate_doubtful(std::function<void()> done);
    void load_cache(std::function<void()> done);
    void rebase_next(std::function<void()> done);

    core::Service& service_;
    core::Worker& worker_;
    const std::string version_;
    sys::FdStore fd_store_;
    std::unique_ptr<keep::DiskCache> cache_;
    std::vector<Descriptor> doubtful_;  // validated by another version
    std::vector<core::NewImage> displaced_;  // of the cache, made for the address of another boot
    uint64_t common_base_ = 0;
    bool hash_seed_is_kept_ = false;
};

}  // namespace pycds
