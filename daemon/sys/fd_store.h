// Images in the service manager's file-descriptor store (systemd.service(5)
// FileDescriptorStoreMax=): they outlive this process, a crash and an upgrade included. Without
// systemd nothing is kept.
#pragma once

#include <string>

#include "daemon/core/image_keeper.h"

namespace pycds::sys {

class FdStore final : public core::ImageKeeper {
  public:
    explicit FdStore(const std::string& version) : version_(version) {}

    void keep(const core::StoredImage& image) override;
    void forget(const core::StoredImage& image) override;

    // For what came back and is of no use.
    void remove(const std::string& name);

  private:
    const std::string version_;
};

}  // namespace pycds::sys
