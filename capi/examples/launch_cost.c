/* What a launch costs the host, on a GPU: the median of 2,000 launches of the FP8 product, with all checks and without those of the
 * memory. More than 10 us is a failure. With --cpu, or without a GPU, the problem has no rows: what is left is the
 * cost of the interface and of its checks.
 *
 *     cc -I../include launch_cost.c -L../../target/release -lexpert_gemm -o launch_cost
 */

#define _POSIX_C_SOURCE 199309L

#include "check.h"

#include <time.h>

enum { ROWS = 32, EXPERTS = 4, N = 512, K = 512, LAUNCHES = 2000, PAUSE = 100 };

static double costs[LAUNCHES];

static double microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Zeroed memory of a device. */
static eg_buffer *zeros(const eg_device *device, uint64_t bytes) {
    eg_buffer *buffer = NULL;
    CHECK(eg_buffer_create(device, bytes, &buffer));
    CHECK(eg_buffer_fill(buffer, 0, NULL));
    return buffer;
}

int main(int argc, char **argv) {
    const char *names[] = {"all checks", "no question to the driver"};
    const eg_checks checks[] = {EG_CHECKS_MEMORY, EG_CHECKS_SHAPES};
    int failed = 0;
    eg_device *device = open_device(argc, argv);
    int on_gpu = eg_device_ordinal(device) != EG_CPU;
    uint64_t rows = on_gpu ? ROWS : 0;
    eg_buffer *buffers[] = {
        zeros(device, ROWS * N * 2),
        zeros(device, ROWS * K),
        zeros(device, EXPERTS * N * K),
        zeros(device, ROWS * K / 128 * 4),
        zeros(device, EXPERTS * (N / 128) * (K / 128) * 4),
        zeros(device, EXPERTS * 3 * 4),
        zeros(device, EXPERTS * 4),
    };
    eg_fp8_grouped_mm_tensors tensors = {
        .output = {eg_buffer_data(buffers[0]), EG_ELEMENT_BF16, 2, {rows, N}, NULL},
        .a = {eg_buffer_data(buffers[1]), EG_ELEMENT_E4M3, 2, {rows, K}, NULL},
        .b = {eg_buffer_data(buffers[2]), EG_ELEMENT_E4M3, 3, {EXPERTS, N, K}, NULL},
        .scales_a = {eg_buffer_data(buffers[3]), EG_ELEMENT_F32, 2, {rows, K / 128}, NULL},
        .scales_b = {eg_buffer_data(buffers[4]), EG_ELEMENT_F32, 3, {EXPERTS, N / 128, K / 128}, NULL},
        .problem_sizes = {eg_buffer_data(buffers[5]), EG_ELEMENT_I32, 2, {EXPERTS, 3}, NULL},
        .expert_offsets = {eg_buffer_data(buffers[6]), EG_ELEMENT_I32, 1, {EXPERTS}, NULL},
        .status = {NULL, 0, 0, {0}, NULL},
    };
    for (int i = 0; i < 2; i++) {
        eg_fp8_grouped_mm problem = {rows, EXPERTS, N, K, EG_ELEMENT_BF16, checks[i]};
        eg_plan *plan = NULL;
        CHECK(eg_fp8_grouped_mm_prepare(device, &problem, NULL, &plan));
        for (int launch = 0; launch < LAUNCHES; launch++) {
            /* The queue of launches must not fill, or the host waits for the GPU. */
            if (launch % PAUSE == 0) CHECK(eg_device_synchronize(device));
            double start = microseconds();
            eg_status status = eg_fp8_grouped_mm_launch(plan, NULL, &tensors);
            costs[launch] = microseconds() - start;
            CHECK(status);
        }
        CHECK(eg_device_synchronize(device));
        eg_plan_free(plan);
        qsort(costs, LAUNCHES, sizeof costs[0], ascending);
        printf("launch_cost: %s: median %.2f us\n", names[i], costs[LAUNCHES / 2]);
        failed |= costs[LAUNCHES / 2] > 10.0;
    }
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) eg_buffer_free(buffers[i]);
    eg_device_close(device);
    return failed;
}
