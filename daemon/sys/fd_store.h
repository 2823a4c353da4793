// Images, and the hash seed of some of them, in the service manager's file-descriptor store
// (systemd.service(5) FileDescriptorStoreMax=): they outlive this process, a crash and an upgrade
// included, but neither a stop nor the boot. Without systemd nothing is kept.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/core/image_keeper.h"
#include "daemon/sys/service_manager.h"

namespace pycds::sys {

class FdStore final : public core::ImageKeeper {
  public:
    explicit FdStore(const std::string& version) : version_(version) {}

    void keep(const core::StoredImage& image) override;
    void forget(const core::StoredImage& image) override;

    // For what came back and is of no use.
    void remove(const std::string& name);

    // A seed is not 0. Unlike on a disk, nobody but root and the daemon gets to see it there. Taken out of
    // what came back, 0: there was none.
    static void keep_hash_seed(uint32_t seed);
    static uint32_t take_hash_seed(std::vector<StoredDescriptor>& stored);

  private:
    const std::string version_;
};

}  // namespace pycds::sys
