// Package media makes the live video of a node without an encoder: H.264 of
// 128x64 pixels at 25 frames per second whose key frames are uncompressed
// (I_PCM) and whose other frames repeat the picture (every macroblock
// skipped). Each frame carries the identity marker of the node in an SEI
// message, and each key frame shows the node's id and the frame counter as a
// pattern of black and white blocks, so that even a decoded picture says where
// it came from.
package media

import (
	"github.com/vosbed/vosbed/simvos/control"
)

// The picture: 8 x 4 macroblocks of 16 x 16 pixels.
const (
	mbWidth, mbHeight = 8, 4
	// Width of the picture in pixels.
	Width = 16 * mbWidth
	// Height of the picture in pixels.
	Height = 16 * mbHeight
	// Rate is the number of frames per second.
	Rate = 25
	// GOP is the number of frames from one key frame to the next: a new viewer
	// waits 400 ms at most.
	GOP = 10
	// ClockRate is that of RTP and TS time stamps in hertz.
	ClockRate = 90000
	// FrameTicks is the length of a frame in ticks of ClockRate.
	FrameTicks = ClockRate / Rate
)

// Samples of a white, a black and a colourless block, none of which needs
// emulation prevention.
const (
	white   = 235
	black   = 16
	neutral = 128
)

// NAL unit header bytes: reference idc and type.
const (
	nalSlice = 2<<5 | 1
	nalIDR   = 3<<5 | 5
	nalSEI   = 6
	nalSPS   = 3<<5 | 7
	nalPPS   = 3<<5 | 8
	nalAUD   = 9
)

// log2MaxFrameNum is the width of frame_num in bits.
const log2MaxFrameNum = 8

// SPS returns the sequence parameter set: constrained baseline, level 3.
func SPS() []byte {
	var w bitWriter
	w.u(8, 66)   // profile_idc
	w.u(8, 0xc0) // constraint_set0 and 1
	w.u(8, 30)   // level_idc
	w.ue(0)      // seq_parameter_set_id
	w.ue(log2MaxFrameNum - 4)
	w.ue(2) // pic_order_cnt_type: output order is decoding order
	w.ue(1) // max_num_ref_frames
	w.u(1, 0)
	w.ue(mbWidth - 1)
	w.ue(mbHeight - 1)
	w.u(1, 1) // frame_mbs_only_flag
	w.u(1, 1) // direct_8x8_inference_flag
	w.u(1, 0) // frame_cropping_flag
	w.u(1, 1) // vui_parameters_present_flag
	vui(&w)
	w.trail()
	return nal(nalSPS, w.b)
}

// vui writes the usability information: the frame rate, and that frames are
// never reordered.
func vui(w *bitWriter) {
	w.u(4, 0) // no aspect ratio, overscan, video signal type, chroma location
	w.u(1, 1) // timing_info_present_flag
	w.u(32, 1)
	w.u(32, 2*Rate)
	w.u(1, 1) // fixed_frame_rate_flag
	w.u(3, 0) // no HRD parameters, no pic_struct
	w.u(1, 1) // bitstream_restriction_flag
	w.u(1, 1) // motion_vectors_over_pic_boundaries_flag
	w.ue(0)   // max_bytes_per_pic_denom
	w.ue(0)   // max_bits_per_mb_denom
	w.ue(10)  // log2_max_mv_length_horizontal
	w.ue(10)  // log2_max_mv_length_vertical
	w.ue(0)   // max_num_reorder_frames
	w.ue(1)   // max_dec_frame_buffering
}

// PPS returns the picture parameter set.
func PPS() []byte {
	var w bitWriter
	w.ue(0)   // pic_parameter_set_id
	w.ue(0)   // seq_parameter_set_id
	w.u(2, 0) // CAVLC, no bottom field order
	w.ue(0)   // num_slice_groups_minus1
	w.ue(0)   // num_ref_idx_l0_default_active_minus1
	w.ue(0)   // num_ref_idx_l1_default_active_minus1
	w.u(3, 0) // weighted_pred_flag, weighted_bipred_idc
	w.ue(0)   // pic_init_qp_minus26
	w.ue(0)   // pic_init_qs_minus26
	w.ue(0)   // chroma_qp_index_offset
	w.u(1, 1) // deblocking_filter_control_present_flag
	w.u(2, 0)
	w.trail()
	return nal(nalPPS, w.b)
}

// AUD returns the access unit delimiter that starts each access unit of a
// transport stream.
func AUD() []byte { return []byte{nalAUD, 0xf0} }

// keyFrame returns the slice of an IDR picture whose 32 macroblocks show the
// bits of code, the most significant at the top left, white for one.
func keyFrame(idrID, code uint32) []byte {
	w := bitWriter{b: make([]byte, 0, mbWidth*mbHeight*388+16)}
	w.ue(0) // first_mb_in_slice
	w.ue(7) // slice_type I
	w.ue(0) // pic_parameter_set_id
	w.u(log2MaxFrameNum, 0)
	w.ue(idrID)
	w.u(2, 0) // no_output_of_prior_pics_flag, long_term_reference_flag
	w.ue(0)   // slice_qp_delta
	w.ue(1)   // disable_deblocking_filter_idc
	for i := range mbWidth * mbHeight {
		luma := byte(black)
		if code>>(31-i)&1 == 1 {
			luma = white
		}
		pcmBlock(&w, luma)
	}
	w.trail()
	return nal(nalIDR, w.b)
}

// pcmBlock writes one uncompressed macroblock of 256 luma and 128 chroma samples.
func pcmBlock(w *bitWriter, luma byte) {
	w.ue(25) // mb_type I_PCM
	w.align()
	for range 256 {
		w.b = append(w.b, luma)
	}
	for range 128 {
		w.b = append(w.b, neutral)
	}
}

// repeatFrame returns the slice of a picture that repeats the one before.
func repeatFrame(frameNum uint32) []byte {
	var w bitWriter
	w.ue(0) // first_mb_in_slice
	w.ue(5) // slice_type P
	w.ue(0) // pic_parameter_set_id
	w.u(log2MaxFrameNum, frameNum)
	w.u(3, 0) // no override of references, no reordering, sliding window
	w.ue(0)   // slice_qp_delta
	w.ue(1)   // disable_deblocking_filter_idc
	w.ue(mbWidth * mbHeight)
	w.trail()
	return nal(nalSlice, w.b)
}

// markerSEI returns the SEI message "user data unregistered" with the marker.
func markerSEI(m control.Marker) []byte {
	p := []byte{5, byte(len(control.MarkerUUID) + control.MarkerSize)}
	p = append(p, control.MarkerUUID...)
	p = m.AppendTo(p)
	return nal(nalSEI, append(p, 0x80))
}
