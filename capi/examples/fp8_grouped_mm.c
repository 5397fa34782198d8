/* The FP8 grouped product on a GPU, or with --cpu on the CPU: three experts, of which the middle one has no rows. The
 * numbers are small powers of two, so that every output is known exactly.
 *
 *     cc -I../include fp8_grouped_mm.c -L../../target/release -lexpert_gemm -o fp8_grouped_mm
 */

#include "check.h"

enum { ROWS = 5, EXPERTS = 3, N = 256, K = 384, N_BLOCKS = N / 128, K_BLOCKS = K / 128 };

static uint8_t a[ROWS * K], b[EXPERTS * N * K];
static float scales_a[ROWS * K_BLOCKS], scales_b[EXPERTS * N_BLOCKS * K_BLOCKS];
static uint16_t output[ROWS * N];

int main(int argc, char **argv) {
    /* (M, N, K) and the first row of each expert. */
    const int32_t problem_sizes[EXPERTS][3] = {{2, N, K}, {0, N, K}, {3, N, K}};
    const int32_t expert_offsets[EXPERTS] = {0, 2, 2};
    const uint32_t zero = 0;

    memset(a, 0x38, sizeof a); /* 1.0 as e4m3 */
    memset(b, 0x40, sizeof b); /* 2.0 */
    for (int row = 0; row < ROWS; row++)
        for (int kb = 0; kb < K_BLOCKS; kb++) scales_a[row * K_BLOCKS + kb] = (float)(row + 1);
    for (int e = 0; e < EXPERTS; e++)
        for (int nb = 0; nb < N_BLOCKS; nb++)
            for (int kb = 0; kb < K_BLOCKS; kb++)
                scales_b[(e * N_BLOCKS + nb) * K_BLOCKS + kb] = (float)((1 << e) * (nb + 1)) / 256.0f;

    if (eg_interface_version() != EG_INTERFACE_VERSION) {
        fprintf(stderr, "the library is of another version than the header\n");
        return 1;
    }
    eg_device *device = open_device(argc, argv);
    eg_fp8_grouped_mm problem = {ROWS, EXPERTS, N, K, EG_ELEMENT_BF16, EG_CHECKS_MEMORY};
    eg_plan *plan = NULL;
    CHECK(eg_fp8_grouped_mm_prepare(device, &problem, NULL, &plan));
    explain(plan);

    eg_buffer *buffers[] = {
        upload(device, output, sizeof output),
        upload(device, a, sizeof a),
        upload(device, b, sizeof b),
        upload(device, scales_a, sizeof scales_a),
        upload(device, scales_b, sizeof scales_b),
        upload(device, problem_sizes, sizeof problem_sizes),
        upload(device, expert_offsets, sizeof expert_offsets),
        upload(device, &zero, sizeof zero),
    };
    eg_fp8_grouped_mm_tensors tensors = {
        .output = tensor(buffers[0], EG_ELEMENT_BF16, ROWS, N, 0),
        .a = tensor(buffers[1], EG_ELEMENT_E4M3, ROWS, K, 0),
        .b = tensor(buffers[2], EG_ELEMENT_E4M3, EXPERTS, N, K),
        .scales_a = tensor(buffers[3], EG_ELEMENT_F32, ROWS, K_BLOCKS, 0),
        .scales_b = tensor(buffers[4], EG_ELEMENT_F32, EXPERTS, N_BLOCKS, K_BLOCKS),
        .problem_sizes = tensor(buffers[5], EG_ELEMENT_I32, EXPERTS, 3, 0),
        .expert_offsets = tensor(buffers[6], EG_ELEMENT_I32, EXPERTS, 0, 0),
        .status = tensor(buffers[7], EG_ELEMENT_U32, 1, 0, 0),
    };
    CHECK(eg_fp8_grouped_mm_launch(plan, NULL, &tensors));
    CHECK(eg_device_synchronize(device));
    check_status(buffers[7]);
    CHECK(eg_buffer_download(buffers[0], output, sizeof output));

    int wrong = 0;
    for (int row = 0; row < ROWS; row++) {
        int e = row < 2 ? 0 : 2;
        for (int column = 0; column < N; column++) {
            /* 384 products of 2, times both scales: at most 7 bits, exact in bf16. */
            float expected = 3.0f * (float)((row + 1) * (1 << e) * (column / 128 + 1));
            wrong += from_bf16(output[row * N + column]) != expected;
        }
    }

    /* A mistake is answered, not followed. */
    tensors.b.shape[1] = K;
    if (eg_fp8_grouped_mm_launch(plan, NULL, &tensors) != EG_STATUS_INVALID_ARGUMENT) wrong++;
    printf("a wrong shape: %s\n", eg_last_error());

    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) eg_buffer_free(buffers[i]);
    eg_plan_free(plan);
    eg_device_close(device);
    printf("fp8_grouped_mm: %d outputs, %d wrong\n", ROWS * N, wrong);
    return wrong != 0;
}
