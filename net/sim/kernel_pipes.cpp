// The simulated kernel's pipes: pipe(2), splice(2), sendfile(2).

#include <cove/net/sim/kernel.hpp>

#include <cove/net/sim/detail/call_guard.hpp>
#include <cove/net/sim/detail/pipe.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

namespace cove::sim {

std::uint32_t detail::pipe_end::ready_for() noexcept {
    std::uint32_t bits = 0;
    if (is_read_end_) {
        if (!of_->bytes.empty()) bits |= cove::kernel::event_in;
        if (!of_->has_writer) bits |= cove::kernel::event_hang_up;
    } else {
        if (of_->room() > 0) bits |= cove::kernel::event_out;
        if (!of_->has_reader) bits |= cove::kernel::event_error;
    }
    return bits;
}

int kernel::create_pipe(int (&ends)[2]) noexcept {
    const detail::call_guard guard(all_, machine_, call::create_pipe);
    if (guard.error() != 0) return -guard.error();
    if (open_ + first_descriptor + 1 >= descriptors_max_) return -EMFILE;
    if (const int none_left = exhausted(false); none_left < 0) return none_left;
    const auto made = std::make_shared<detail::pipe_state>();
    ends[0] = install(std::make_shared<detail::pipe_end>(made, true));
    ends[1] = install(std::make_shared<detail::pipe_end>(made, false));
    return 0;
}

long kernel::receive_to_pipe(int fd, int pipe, std::size_t size) noexcept {
    const detail::call_guard guard(all_, machine_, call::receive_to_pipe);
    int error = 0;
    const auto into = find<detail::pipe_end>(pipe, error);
    if (into == nullptr) return error;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    if (into->is_read_end()) return -EBADF;
    if (size == 0) return 0;
    detail::pipe_state& state = into->state();
    if (!state.has_reader) return -EPIPE;
    if (state.room() == 0) return -EAGAIN;
    std::vector<char> bytes(std::min(size, state.room()));
    const long count = receive_part(socket, guard.error(), bytes.data(), bytes.size());
    if (count > 0) state.bytes.append({bytes.data(), static_cast<std::size_t>(count)});
    return count;
}

long kernel::send_from_pipe(int fd, int pipe, std::size_t size) noexcept {
    const detail::call_guard guard(all_, machine_, call::send_from_pipe);
    int error = 0;
    const auto from = find<detail::pipe_end>(pipe, error);
    if (from == nullptr) return error;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    if (!from->is_read_end()) return -EBADF;
    if (size == 0) return 0;
    detail::byte_queue& bytes = from->state().bytes;
    if (bytes.empty()) return from->state().has_writer ? -EAGAIN : 0;
    if (guard.error() != 0) return transfer_injected(socket, event_out, guard.error());
    const long count = send_part(*socket, socket, bytes.view().substr(0, size));
    if (count > 0) bytes.drop_front(static_cast<std::size_t>(count));
    return count;
}

long kernel::send_file(int fd, int file, std::uint64_t offset, std::size_t size) noexcept {
    const detail::call_guard guard(all_, machine_, call::send_file);
    int error = 0;
    const auto socket = find<detail::tcp_socket>(fd, error);
    if (socket == nullptr) return error;
    constexpr std::size_t at_once = 64 * 1024;
    std::vector<char> bytes(std::min(size, at_once));
    long sent = 0;
    while (static_cast<std::size_t>(sent) < size) {
        const std::size_t wanted = std::min(size - static_cast<std::size_t>(sent), bytes.size());
        const auto position = offset + static_cast<std::uint64_t>(sent);
        const ssize_t got = ::pread(file, bytes.data(), wanted, static_cast<off_t>(position));
        if (got < 0) return -errno;
        if (got == 0) break;
        if (guard.error() != 0) return transfer_injected(socket, event_out, guard.error());
        const long count = send_part(*socket, socket, {bytes.data(), static_cast<std::size_t>(got)});
        if (count < 0) return sent > 0 ? sent : count;
        sent += count;
        if (count < got) break;
    }
    return sent;
}

}  // namespace cove::sim
