/* Quantise rows to MXFP8 and multiply them, on a GPU, or with --cpu on the CPU. The scales pass from one call to the
 * other as they lie; those of the weights come row-major and are brought into atoms.
 *
 *     cc -I../include mxfp8_layer.c -L../../target/release -lexpert_gemm -o mxfp8_layer
 */

#include "check.h"

enum { ROWS = 4, EXPERTS = 2, N = 128, K = 256, SCALES = K / 32 };

static uint16_t input[ROWS * K], output[ROWS * N];
static uint8_t b[EXPERTS * N * K], row_major[EXPERTS * N * SCALES], atoms[EXPERTS * N * SCALES];

int main(int argc, char **argv) {
    /* (M, N, K), the first row and the first scale row of each expert. */
    const int32_t problem_sizes[EXPERTS][3] = {{3, N, K}, {1, N, K}};
    const int32_t expert_offsets[EXPERTS] = {0, 3};
    const int32_t blockscale_offsets[EXPERTS] = {0, 128};
    const uint32_t zero = 0;
    const uint64_t scale_rows = eg_mxfp8_max_scale_rows(ROWS, EXPERTS);

    for (int i = 0; i < ROWS * K; i++) input[i] = 0x4040; /* 3.0 as bf16 */
    memset(b, 0x38, sizeof b);                            /* 1.0 as e4m3 */
    for (int i = 0; i < EXPERTS * N * SCALES; i++)        /* 1/2 for the first expert, 1/4 for the other */
        row_major[i] = i < N * SCALES ? 126 : 125;
    CHECK(eg_mxfp8_swizzle_scales(EXPERTS * N, K, row_major, atoms));

    eg_device *device = open_device(argc, argv);
    eg_mxfp8_grouped_quant quant = {
        ROWS, EXPERTS, K, scale_rows, EG_ELEMENT_BF16, EG_SCALE_RULE_SGL, EG_CHECKS_MEMORY, 0};
    eg_mxfp8_grouped_mm product = {ROWS, EXPERTS, N, K, scale_rows, EG_ELEMENT_BF16, EG_CHECKS_MEMORY};
    eg_plan *quant_plan = NULL, *product_plan = NULL;
    CHECK(eg_mxfp8_grouped_quant_prepare(device, &quant, NULL, &quant_plan));
    CHECK(eg_mxfp8_grouped_mm_prepare(device, &product, NULL, &product_plan));
    explain(product_plan);

    eg_buffer *codes = NULL, *scales = NULL;
    CHECK(eg_buffer_create(device, ROWS * K, &codes));
    CHECK(eg_buffer_create(device, scale_rows * SCALES, &scales));
    eg_buffer *buffers[] = {
        codes,
        scales,
        upload(device, input, sizeof input),
        upload(device, output, sizeof output),
        upload(device, b, sizeof b),
        upload(device, atoms, sizeof atoms),
        upload(device, problem_sizes, sizeof problem_sizes),
        upload(device, expert_offsets, sizeof expert_offsets),
        upload(device, blockscale_offsets, sizeof blockscale_offsets),
        upload(device, &zero, sizeof zero),
    };
    eg_mxfp8_grouped_quant_tensors quantised = {
        .input = tensor(buffers[2], EG_ELEMENT_BF16, ROWS, K, 0),
        .problem_sizes = tensor(buffers[6], EG_ELEMENT_I32, EXPERTS, 3, 0),
        .expert_offsets = tensor(buffers[7], EG_ELEMENT_I32, EXPERTS, 0, 0),
        .blockscale_offsets = tensor(buffers[8], EG_ELEMENT_I32, EXPERTS, 0, 0),
        .quant_output = tensor(codes, EG_ELEMENT_E4M3, ROWS, K, 0),
        .scale_factor = tensor(scales, EG_ELEMENT_E8M0, scale_rows, SCALES, 0),
        .status = tensor(buffers[9], EG_ELEMENT_U32, 1, 0, 0),
    };
    eg_mxfp8_grouped_mm_tensors multiplied = {
        .output = tensor(buffers[3], EG_ELEMENT_BF16, ROWS, N, 0),
        .a = quantised.quant_output,
        .b = tensor(buffers[4], EG_ELEMENT_E4M3, EXPERTS, N, K),
        .sfa = quantised.scale_factor,
        .sfb = tensor(buffers[5], EG_ELEMENT_E8M0, EXPERTS, N, SCALES),
        .problem_sizes = quantised.problem_sizes,
        .expert_offsets = quantised.expert_offsets,
        .blockscale_offsets = quantised.blockscale_offsets,
        .status = quantised.status,
    };
    CHECK(eg_mxfp8_grouped_quant_launch(quant_plan, NULL, &quantised));
    CHECK(eg_mxfp8_grouped_mm_launch(product_plan, NULL, &multiplied));
    CHECK(eg_device_synchronize(device));
    check_status(buffers[9]);
    CHECK(eg_buffer_download(buffers[3], output, sizeof output));

    int wrong = 0;
    for (int i = 0; i < ROWS * N; i++) {
        float expected = i < 3 * N ? 256 * 3.0f / 2 : 256 * 3.0f / 4;
        wrong += from_bf16(output[i]) != expected;
    }

    /* Plans know their operation. */
    if (eg_mxfp8_grouped_mm_launch(quant_plan, NULL, &multiplied) != EG_STATUS_WRONG_ORDER) wrong++;
    printf("the other plan: %s\n", eg_last_error());

    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) eg_buffer_free(buffers[i]);
    eg_plan_free(quant_plan);
    eg_plan_free(product_plan);
    eg_device_close(device);
    printf("mxfp8_layer: %d outputs, %d wrong\n", ROWS * N, wrong);
    return wrong != 0;
}
