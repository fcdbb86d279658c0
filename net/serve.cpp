#include <cove/net/serve.hpp>

#include <cove/runtime/error.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/result.hpp>

#include <system_error>

namespace cove::detail {
namespace {

bool passes_with_time(std::error_code error) noexcept {
    return error == std::errc::too_many_files_open || error == std::errc::too_many_files_open_in_system ||
           error == std::errc::no_buffer_space || error == std::errc::not_enough_memory;
}

}  // namespace

task<tcp_stream> accept_patiently(tcp_listener& listener, const serve_options& options) {
    for (;;) {
        auto accepted = co_await as_result(listener.accept());
        if (accepted) co_return std::move(*accepted);
        const std::system_error error(accepted.error(), "accept " + listener.local_address().to_string());
        if (!passes_with_time(accepted.error())) throw error;
        if (options.on_error != nullptr) options.on_error(std::make_exception_ptr(error));
        co_await move_on_after(options.retry_after, loop::current().descriptor_closed().wait());
    }
}

}  // namespace cove::detail
