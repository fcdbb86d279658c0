#include <cove/runtime/pipe_pool.hpp>

#include <utility>

namespace cove {

int pipe_pool::take(pipe_ends& into) noexcept {
    if (size_ > 0) {
        into = std::move(kept_[--size_]);
        return 0;
    }
    int ends[2];
    const int created = os_.create_pipe(ends);
    if (created < 0) return created;
    into.read_end_ = descriptor(ends[0], os_);
    into.write_end_ = descriptor(ends[1], os_);
    return 0;
}

void pipe_pool::give_back(pipe_ends& empty) noexcept {
    if (size_ < kept_max)
        kept_[size_++] = std::move(empty);
    else
        empty.close();
}

}  // namespace cove
