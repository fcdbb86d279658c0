#include <cove/runtime/descriptor.hpp>

#include <cove/runtime/detail/reactor.hpp>
#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>

#include <utility>

namespace cove {

descriptor::descriptor(descriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), os_(other.os_), slot_(std::exchange(other.slot_, nullptr)) {
    if (slot_ != nullptr) slot_->owner = this;
}

descriptor& descriptor::operator=(descriptor&& other) noexcept {
    if (this == &other) return *this;
    close();
    fd_ = std::exchange(other.fd_, -1);
    os_ = other.os_;
    slot_ = std::exchange(other.slot_, nullptr);
    if (slot_ != nullptr) slot_->owner = this;
    return *this;
}

void descriptor::detach() noexcept {
    if (slot_ != nullptr) slot_->home->detach(*slot_);
}

void descriptor::close() noexcept {
    if (fd_ < 0) return;
    detach();
    // The number is free whatever close says; what it may report of data on its way, shutdown and read have reported.
    os_->close(std::exchange(fd_, -1));
    if (loop* running = detail::this_thread.running) running->descriptor_closed().wake_all();
}

void descriptor::expect_room() noexcept {
    if (slot_ != nullptr) slot_->is_ready(detail::direction::write) = true;
}

int descriptor::release() noexcept {
    detach();
    return std::exchange(fd_, -1);
}

detail::slot& descriptor::slot_in(detail::reactor& reactor) {
    if (slot_ == nullptr) {
        slot_ = &reactor.attach(*this, fd_);
    } else if (slot_->home != &reactor) {
        detail::misuse(
            "a descriptor belongs to the loop that first waited on it; release() it before another loop uses it");
    }
    return *slot_;
}

}  // namespace cove
