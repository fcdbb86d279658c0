#include <cove/net/detail/pass_operations.hpp>

#include <cove/net/detail/receive_block.hpp>
#include <cove/net/detail/socket_attempt.hpp>
#include <cove/runtime/loop.hpp>

#include <cerrno>

namespace cove::detail {
namespace {

// A pipe is worth its calls where so much comes at a time; less is copied.
constexpr long bulk_bytes = 32 * 1024;

// As much as a pipe has room for.
constexpr std::size_t pipe_bytes_max = 1024 * 1024;

}  // namespace

long load::take(kernel& os, int fd, bool& drained) noexcept {
    long taken = -EINVAL;
    if (comes_in_bulk_ && can_splice_ && loop::current().pipes().take(pipe_) >= 0) {
        taken = take_by_pipe(os, fd);
        if (taken == -ENOSYS) taken = -EINVAL;  // of kernels that are not quite Linux
        can_splice_ = taken != -EINVAL;
    }
    if (taken == -EINVAL) taken = take_by_copy(os, fd, drained);
    if (taken > 0) {
        size_ = static_cast<std::size_t>(taken);
        comes_in_bulk_ = taken >= bulk_bytes;
    }
    return taken;
}

// Whether the socket has more cannot be told from how much came: a pipe may be full of small pieces.
long load::take_by_pipe(kernel& os, int fd) noexcept {
    const long taken = os.receive_to_pipe(fd, pipe_.write_end(), pipe_bytes_max);
    if (taken <= 0) loop::current().pipes().give_back(pipe_);
    return taken;
}

long load::take_by_copy(kernel& os, int fd, bool& drained) noexcept {
    char* block = nullptr;
    const long taken = buffer::receive_block(os, fd, block, drained);
    if (taken > 0) copied_ = buffer(block, static_cast<std::size_t>(taken));
    return taken;
}

long load::give(kernel& os, int fd) noexcept {
    long given = 0;
    if (pipe_.is_open())
        given = os.send_from_pipe(fd, pipe_.read_end(), size_);
    else
        given = os.send(fd, copied_.data() + (copied_.size() - size_), size_);
    if (given <= 0) return given;
    size_ -= static_cast<std::size_t>(given);
    if (size_ > 0) return given;
    if (pipe_.is_open())
        loop::current().pipes().give_back(pipe_);
    else
        copied_ = buffer();
    return given;
}

long give_operation::try_once(kernel& os, int fd, bool&) noexcept {
    // After a part it is tried once more, for the EAGAIN: only then does the kernel promise an edge.
    do {
        const long given = given_.give(os, fd);
        if (given < 0) return given;
        passed_ += static_cast<std::uint64_t>(given);
    } while (!given_.empty());
    return 0;
}

template class socket_operation<take_operation, bool>;
template class socket_operation<give_operation, void>;

}  // namespace cove::detail
