#include <cove/runtime/loop_handle.hpp>

#include <cove/runtime/loop.hpp>

namespace cove {

loop_handle loop_handle::current() noexcept { return loop_handle(loop::current().inbox()); }

loop_handle::loop_handle(detail::inbox& inbox) noexcept : inbox_(&inbox) {
    inbox.hold();
    inbox.add_poster();
}

loop_handle::loop_handle(const loop_handle& other) noexcept : loop_handle(*other.inbox_) {}

loop_handle::~loop_handle() {
    if (inbox_ == nullptr) return;
    inbox_->remove_poster();
    inbox_->let_go();
}

}  // namespace cove
