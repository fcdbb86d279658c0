#include <cove/net/pass_through.hpp>

#include <cove/net/detail/pass_operations.hpp>

namespace cove {

task<> pass_through(tcp_stream& from, tcp_stream& to, std::uint64_t& passed) {
    passed = 0;
    detail::load carried;
    for (;;) {
        const bool has_more = co_await detail::take_operation(from.socket_, carried);
        if (!has_more) co_return;
        co_await detail::give_operation(to.socket_, carried, passed);
    }
}

task<> pass_through(tcp_stream& from, tcp_stream& to) {
    std::uint64_t passed = 0;
    co_await pass_through(from, to, passed);
}

}  // namespace cove
