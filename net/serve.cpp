#include <cove/net/serve.hpp>

#include <cove/runtime/loop.hpp>
#include <cove/runtime/text.hpp>

#include <system_error>

namespace cove::detail {

bool is_exhaustion(std::error_code error, const tcp_listener& listener, const serve_options& options) {
    // ENOSPC: epoll's limit of registrations, fs.epoll.max_user_watches.
    const bool passes = error == std::errc::too_many_files_open || error == std::errc::too_many_files_open_in_system ||
                        error == std::errc::no_buffer_space || error == std::errc::not_enough_memory ||
                        error == std::errc::no_space_on_device;
    if (passes && options.on_error == nullptr) return true;
    const std::system_error reported(error, text({"accept ", listener.local_address().to_string()}));
    if (!passes) throw reported;
    options.on_error(std::make_exception_ptr(reported));
    return true;
}

bool session_group::survives_failure() noexcept {
    if (options_.on_error != nullptr && !handles_canceled()) options_.on_error(std::current_exception());
    return true;
}

wait_queue::operation descriptor_to_spare() noexcept { return loop::current().descriptor_closed().wait(); }

}  // namespace cove::detail
